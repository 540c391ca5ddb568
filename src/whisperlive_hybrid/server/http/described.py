"""Forms in the OpenAPI document, described by the tables that read them."""

from whisperlive_hybrid.protocol.form import FieldNames


def form_of(names: FieldNames) -> dict[str, object]:
    """The `openapi_extra` of a route that takes a file and these fields."""
    properties: dict[str, object] = {"file": {"type": "string", "format": "binary"}}
    properties |= {name: {"type": "string"} for name in names.single}
    properties |= {
        f"{name}[]": {"type": "array", "items": {"type": "string"}} for name in names.lists
    }
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }
