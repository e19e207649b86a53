"""What the API takes beyond its schema, on purpose: such cases are not tried as bad ones."""

import schemathesis


@schemathesis.hook
def filter_case(context, case):
    query = case.query or {}
    # An empty parameter is an absent one.
    return not any(value == "" for value in query.values())
