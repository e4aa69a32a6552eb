"""How the mailers take mails from the queue: what it takes to use all of a send rate. Knows no CDK.

At 60 ms to SES, and some 40 for the table, a mail is in hand for a tenth of a second: 200 a second are 20 at once.
"""

from __future__ import annotations

WORKERS = 2
"""How many mailers run at once, and the fewest that Lambda lets a queue have; each keeps to its share of the rate."""

BATCH = 100
"""Mails that one is given: between two batches it sends nothing, so they must not be much shorter than a second."""

WINDOW = 1
"""Seconds that a batch which is not full may wait: the least with more than ten. Mails are planned by the minute."""

AT_ONCE = 24
"""Mails that one has in hand."""

MEMORY = 1769
"""MB: as much as brings a whole processor with it; the SDK computes for milliseconds over each mail."""
