"""The sealed columns of connections in SQL: a value's header says which key sealed it (libs/vault/ring.py)."""


def header_of(column: str) -> str:
    """Return the expression for the header of a column; of a value that is too short, what there is of it."""
    # The two bytes appended keep get_byte from failing where a damaged value is shorter than a header.
    return f"substring({column} FROM 1 FOR 2 + get_byte({column} || '\\x0000'::bytea, 1))"


# A disconnect raises the epoch: what was sealed before opens nowhere any more, and no key has to be kept for it.
HOLDS_TOKENS = "status <> 'DISCONNECTED'"

# Each row that holds tokens twice, once for each sealed column.
SEALED_FIELDS = f"""
    connections CROSS JOIN LATERAL (
        VALUES ({header_of("access_token")}), ({header_of("refresh_token")})
    ) AS field (header) WHERE {HOLDS_TOKENS}
"""
