"""Quality against speed: measures models at many step counts and shows it on one page."""
