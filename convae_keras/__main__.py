import sys

from convae_cli.main import main

sys.exit(main())
