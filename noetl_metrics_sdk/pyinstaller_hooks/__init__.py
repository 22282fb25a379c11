"""What PyInstaller has to know: the parts of this package that it cannot see by itself."""
