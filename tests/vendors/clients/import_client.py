"""Says that a client can be imported, and which one it is: import_client.py MODULE PACKAGE"""

import sys
from importlib import import_module
from importlib.metadata import version

from saying import say

module, package = sys.argv[1:]
import_module(module)
say(package, version(package))
