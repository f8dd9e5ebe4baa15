import sys

from convae_cli.main import entry

sys.exit(entry())
