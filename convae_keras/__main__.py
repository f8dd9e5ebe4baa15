import sys

from convae_keras.cli import main

sys.exit(main())
