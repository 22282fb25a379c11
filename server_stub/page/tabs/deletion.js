// Deletes a component, after asking.

import { deleteComponent } from "../api/endpoints.js";
import { showDialog } from "../elements/dialog.js";
import { button, element } from "../elements/element.js";
import { notice } from "../elements/notice.js";

/**
 * Ask whether to delete a component, and delete it.
 *
 * @param {Object} component As `GET /api/runtime` has it.
 * @param {function()} ondeleted Is called when it is gone.
 */
export function askToDelete(component, ondeleted) {
  const { name, component_type: type, runtime_id: id, process_counts: counts } = component;
  const said = element("div");
  const running =
    counts.running > 0
      ? `${counts.running} of its processes run: they will register it anew. Stop them first.`
      : "None of its processes runs.";
  const words = element("p", {}, [
    "Delete ",
    element("strong", { dir: "auto", class: "breaks" }, [name]),
    ` (${type}, ${id}), its processes and all of its metrics? ${running} This cannot be undone.`,
  ]);
  showDialog("Delete a component", [words, said], (close) => {
    const confirm = button(
      "Delete",
      async () => {
        confirm.disabled = true;
        said.replaceChildren(notice("loading", "Deleting: a million rows take about 8 seconds …"));
        try {
          await deleteComponent(id);
          close();
          ondeleted();
        } catch (error) {
          const advice =
            error.kind === "token" ? " Give a token with the scope admin by the button Token." : "";
          const failure = notice("error", `${error.message}${advice}`);
          if (!said.closest("dialog")?.open) {
            // Who has closed the dialog meanwhile would take the component for deleted.
            const which = element("p", { dir: "auto", class: "breaks" }, [name]);
            showDialog("The component was not deleted", [which, failure]);
            return;
          }
          said.replaceChildren(failure);
          confirm.disabled = false;
          if (document.activeElement === document.body) confirm.focus();
        }
      },
      { class: "danger" },
    );
    return [confirm];
  });
}
