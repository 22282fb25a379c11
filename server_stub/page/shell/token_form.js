// The form for the token: it opens by itself where the server wants one.

import { keepToken, readToken, tokenProblem } from "../api/token.js";
import { button, element, labelled } from "../elements/element.js";

export class TokenForm {
  /** @param {function()} onkept Is called when a token was given, or forgotten. */
  constructor(onkept) {
    this.onkept = onkept;
    this.opener = null;
    this.said = element("p", { role: "alert" });
    this.input = element("input", { type: "password", autocomplete: "off", spellcheck: "false" });
    this.root = element("form", { class: "panel token", hidden: true, "aria-label": "Token" }, [
      element("h2", {}, ["Token"]),
      this.said,
      labelled("Token with the scope read", this.input),
      element("p", { class: "help" }, [
        "It is kept for this browser tab only, and sent in the header Authorization. Deleting a " +
          "component needs the scope admin.",
      ]),
      element("div", { class: "actions" }, [
        element("button", { type: "submit", class: "primary" }, ["Use it"]),
        button("Forget it", () => this.forget()),
        button("Cancel", () => this.close()),
      ]),
    ]);
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  /** Show the form, and why; without a reason, it is the user who asks for it. */
  open(reason = "") {
    const wasHidden = this.root.hidden;
    const focused = document.activeElement;
    const isAsked = reason === "";
    if (wasHidden || !isAsked) {
      this.said.textContent = reason;
      this.said.hidden = isAsked;
    }
    this.root.hidden = false;
    if (wasHidden || isAsked) this.opener = focused;
    // A form that opens by itself takes no key from another field.
    if (isAsked || (wasHidden && focused === document.body)) this.input.focus();
  }

  close() {
    const hadFocus = this.root.contains(document.activeElement);
    this.root.hidden = true;
    this.input.value = "";
    if (hadFocus) this.opener?.focus({ preventScroll: true });
  }

  submit() {
    const token = this.input.value.trim();
    const problem = tokenProblem(token);
    if (problem !== "") {
      this.open(problem);
      return;
    }
    keepToken(token);
    this.close();
    this.onkept();
  }

  forget() {
    if (readToken() !== "") keepToken("");
    this.close();
    this.onkept();
  }
}
