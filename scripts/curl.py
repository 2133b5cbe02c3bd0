#!/usr/bin/env python3
"""Stand in for `curl -fsSL URL [-o FILE]`, all that Nextflow's launcher asks of curl, where there is none."""

import shutil
import ssl
import sys
from urllib.request import urlopen

from pip._vendor import certifi

url = next(argument for argument in sys.argv[1:] if "://" in argument)
out = sys.argv[sys.argv.index("-o") + 1] if "-o" in sys.argv else None
context = ssl.create_default_context()
context.load_verify_locations(certifi.where())
try:
    with urlopen(url, context=context, timeout=60) as answer:
        if out is None:
            shutil.copyfileobj(answer, sys.stdout.buffer)
        else:
            with open(out, "wb") as file:
                shutil.copyfileobj(answer, file)
except OSError as error:
    sys.exit(f"{url}: {error}")
