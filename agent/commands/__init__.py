"""The commands of the command line, one file each; heavy imports stand in the bodies."""
