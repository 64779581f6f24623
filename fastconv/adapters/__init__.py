"""Ways from other libraries to fastconv; each module is named for the library, which it imports."""
