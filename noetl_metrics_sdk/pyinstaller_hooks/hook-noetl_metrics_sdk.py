"""The hook: PyInstaller runs this file for a program that imports `noetl_metrics_sdk`."""

from __future__ import annotations

from noetl_metrics_sdk.pyinstaller_hooks.hidden_parts import hidden_imports, metadata_files

hiddenimports = hidden_imports()
datas = metadata_files()
