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


def fields_of(names: FieldNames, required: str) -> dict[str, object]:
    """The `openapi_extra` of a route that takes these fields, as JSON or as a form."""
    properties = {name: {"type": "string"} for name in names.single}
    schema = {"type": "object", "required": [required], "properties": properties}
    types = ("application/json", "multipart/form-data", "application/x-www-form-urlencoded")
    content = {each: {"schema": schema} for each in types}
    return {"requestBody": {"required": True, "content": content}}
