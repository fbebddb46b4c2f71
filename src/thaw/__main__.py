"""python -m thaw COMMAND ...: the command ``thaw``."""

from thaw.commands.start import main

if __name__ == "__main__":
    main()
