"""`python -m sgm_core.cli`."""

import sys

from sgm_core.cli.frame import main

sys.exit(main())
