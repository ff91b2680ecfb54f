"""Who charges, as the database knows it: sealed beside the transaction, and as keyed hashes to look for.

The state of a transaction is written with every event and names nobody; its holder is written when it becomes known.
Must not know: SQL.
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.domain.token import token_key
from actors.domain.transaction import ChargingTransaction
from cluster.store.sealed import HOLDER
from cluster.vault.vault import Vault, place


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """The id token of a transaction, and its start key, which holds the token too."""

    id_token: str | None
    start_key: str | None


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Holder).decode
decode_nameless: Final = msgspec.json.Decoder(ChargingTransaction).decode
"""Returns a stored transaction but for its holder, as it is without a vault."""


def token_hash(vault: Vault, id_token: str) -> bytes:
    """Return what an id token is looked up by: id_tokens.token_key and transactions.token_key."""
    return vault.lookup(token_key(id_token), "id_tokens.token_key")


def start_hash(vault: Vault, start_key: str) -> bytes:
    """Return what a start is looked up by: transactions.start_key."""
    return vault.lookup(start_key, "transactions.start_key")


def digest_key(vault: Vault) -> bytes:
    """Return the key of the digests that repeated messages are known by: without it they could be guessed back."""
    return vault.lookup("digest", "actors.turn")


def without_holder(transaction: ChargingTransaction) -> ChargingTransaction:
    """Return what may be stored as it is."""
    if transaction.id_token is None and transaction.start_key is None:
        return transaction
    return msgspec.structs.replace(transaction, id_token=None, start_key=None)


def sealed_holder(vault: Vault, transaction: ChargingTransaction) -> bytes | None:
    """Return the holder of a transaction as it is stored; None while nobody is known."""
    if transaction.id_token is None and transaction.start_key is None:
        return None
    return seal_holder(vault, transaction.id, Holder(transaction.id_token, transaction.start_key))


def seal_holder(vault: Vault, transaction_id: str, holder: Holder) -> bytes:
    """Return a holder as it is stored."""
    return vault.seal(_encode(holder), place(HOLDER, transaction_id))


def opened_holder(vault: Vault, transaction_id: str, sealed: bytes | None) -> Holder:
    """Return the holder of a stored transaction. Raises SealBroken, KeyMissing."""
    return Holder(None, None) if sealed is None else _decode(vault.open(sealed, place(HOLDER, transaction_id)))


def decode_transaction(vault: Vault, state: str, sealed: bytes | None) -> ChargingTransaction:
    """Return a stored transaction whole. Raises SealBroken, KeyMissing."""
    transaction = decode_nameless(state)
    if sealed is not None:
        holder = opened_holder(vault, transaction.id, sealed)
        transaction.id_token, transaction.start_key = holder.id_token, holder.start_key
    return transaction
