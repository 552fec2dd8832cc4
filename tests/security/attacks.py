"""All attacks that are known here, in the order of their numbers."""

from __future__ import annotations

from tests.security import attacks_by_arguments, attacks_on_clients, attacks_on_fleets

ATTACKS = [*attacks_by_arguments.ATTACKS, *attacks_on_clients.ATTACKS, *attacks_on_fleets.ATTACKS]
