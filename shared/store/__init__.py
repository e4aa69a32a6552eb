"""The only DynamoDB code: keys, items, and one method an access pattern."""

from shared.store.table import Store, event_of

__all__ = ["Store", "event_of"]
