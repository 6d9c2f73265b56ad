"""What new tokens of a connection bring along, the same whether they are saved or replayed.

Each function returns SQL; its arguments are parameters or columns. An imported connection is named `import:` and its
token's mark until a refresh has told its account, and `same:` that account while another live connection has it.
"""

SHOPS_DUE = "clock_timestamp() + interval '1 minute'"


def marked(mark: str) -> str:
    """Return a statement that remembers the refresh token of a changed row, unless its mark is empty.

    What was ever stored is known for ever: an import of it would bring a dead token back.
    """
    return f"""
        INSERT INTO refresh_token_marks (mark, connection_id) SELECT {mark}::bytea, id FROM changed
        WHERE {mark}::bytea <> '' ON CONFLICT DO NOTHING
    """


def account_of(name: str, told: str, provider: str) -> str:
    """Return the account of a connection after a refresh."""
    return f"""
        CASE WHEN {name} NOT LIKE 'import:%' OR {told} = '' THEN {name}
        WHEN {is_live(told, provider)} THEN 'same:' || {told} || substr({name}, 7) ELSE {told} END
    """


def shops_due_of(name: str, told: str, provider: str, *, before: str) -> str:
    """Return when to ask for a connection's shops after a refresh: soon, when that has told its account."""
    learnt = f"{name} LIKE 'import:%' AND {told} <> '' AND NOT {is_live(told, provider)}"
    return f"CASE WHEN {provider} = 'tiktok_shop' AND {learnt} THEN {SHOPS_DUE} ELSE {before} END"


def is_live(account: str, provider: str) -> str:
    """Return whether an account has a live connection."""
    return f"""
        EXISTS (SELECT FROM connections AS live
            WHERE live.provider = {provider} AND live.account_id = {account} AND live.status <> 'DISCONNECTED')
    """
