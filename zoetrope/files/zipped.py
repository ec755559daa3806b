"""Zip files, such as .npz, and what reading them may raise."""

import zipfile
import zlib

DAMAGED = (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, OverflowError, ValueError)
"""What zipfile and NumPy raise for files that are damaged, or packed or encrypted in other ways."""
