"""`python -m featurediff` is `featurediff`."""

from featurediff.cli.main import main

if __name__ == "__main__":
    main(prog_name="featurediff")
