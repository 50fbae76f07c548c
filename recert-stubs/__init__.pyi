from verifier.api import *

__version__: str
