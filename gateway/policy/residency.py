"""Where data may be kept. Pure."""


def may_hold(provider_residency: str | None, wanted: str | None) -> bool:
    """Tell whether a provider may see data that is to stay somewhere; None: it may go anywhere."""
    return wanted is None or provider_residency == wanted
