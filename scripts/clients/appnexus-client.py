"""What a provider's job does with appnexus-client. The argument is where the API is."""

import sys

from appnexus import Segment
from appnexus.client import AppNexusClient
from appnexus.exceptions import AppNexusException
from appnexus.representations import raw


def say(text):
    print(f"appnexus-client: {text}", flush=True)


def refused(call, status):
    try:
        call()
    except AppNexusException as error:
        assert error.response.status_code == status, error.response.text
        return error.response.json()["response"]
    raise AssertionError("it was not refused")


client = AppNexusClient(username="python", password="Correct-horse-1", representation=raw)
client.url = sys.argv[1] + "/"

assert client.token is None
first = client.create("segment", {"segment": {"code": "first", "short_name": "First"}})
assert client.token.startswith("hbapi:")
assert first["segment"]["id"] == first["id"]
say(f"logged in on demand, created segment {first['id']}")

for start in range(0, 249, 83):
    batch = [{"code": f"seg-{n:03}", "short_name": f"Segment {n}", "price": n / 4} for n in range(start, start + 83)]
    assert client.create("segment", {"segments": batch})["count"] == 83
found = client.segment.find(sort="code.desc")
assert len(found) == 250
codes = [segment["code"] for segment in found]
assert len(codes) == 250 and codes == sorted(codes, reverse=True), codes
assert found[249]["code"] == "first"
say("created 249 more in 3 calls; paged through 250, sorted by code.desc")

dear = client.segment.find(min_price=50, max_price=55, sort="price.asc")
assert [segment["price"] for segment in dear] == [n / 4 for n in range(200, 221)]
assert client.segment.find_one(code="SEG-007")["short_name"] == "Segment 7"
assert len(client.segment.find(search="Segment 24")) == 10
# Another client creates segments meanwhile: the next id may be one of its own.
second = client.segment.find_one(code="seg-000")
two = client.segment.get(id=[first["id"], second["id"]])
assert two["count"] == 2 and len(two["segments"]) == 2
assert client.segment.find_one(id=second["id"])["code"] == "seg-000"
assert [segment["id"] for segment in client.segment.find(id=second["id"])] == [second["id"]]
assert client.segment.get(id=second["id"])["segment"]["code"] == "seg-000"
assert client.get(f"segment/1/{second['id']}")["segment"]["code"] == "seg-000"
own = client.member.find_one()
assert own["id"] == 1 and own["name"] == "Python"
say("found by price range, by code, by search, by two ids; one segment by its id, and the own member, as one object")

client.segment.modify({"segment": {"state": "inactive", "description": "off"}}, id=first["id"])
assert [segment["id"] for segment in client.segment.find(state="inactive")] == [first["id"]]
client.append(
    "segment", {"segment": {"piggyback_pixels": [{"url": "https://pixel.example/1", "pixel_type": "js"}]}}, id=first["id"]
)
after = client.append(
    "segment", {"segment": {"piggyback_pixels": [{"url": "https://pixel.example/2", "pixel_type": "js"}]}}, id=first["id"]
)
assert len(after["segment"]["piggyback_pixels"]) == 2
say("switched one off, appended pixels to it")

client.segment.delete(first["id"], second["id"])
assert len(client.segment.find()) == 248
again = refused(lambda: client.segment.delete(first["id"]), 404)
assert again["error_id"] == "SYNTAX", again
taken = refused(lambda: client.create("segment", {"segment": {"code": "Seg-200"}}), 409)
assert taken["error_id"] == "INTEGRITY", taken
say("deleted two; a second deletion is a 404, a code that is in use a 409")

client.representation = None
Segment.client = client
segment = Segment.find_one(code="seg-100")
segment.short_name = "Changed through the model"
segment.save()
assert Segment.find_one(code="seg-100").short_name == "Changed through the model"
Segment(code="by-model").save()
assert Segment.count(code="by-model") == 1
Segment.delete(Segment.find_one(code="by-model").id)
assert Segment.count(code="by-model") == 0
client.representation = raw
say("read, changed, created and deleted a segment through its model")

assert any(field["name"] == "code" and field["filter_by"] for field in client.meta("segment")["fields"])
client.token = "hbapi:1:gone:ia1"
assert len(client.segment.find()) == 248 and client.token != "hbapi:1:gone:ia1"
say("read the meta answer, logged in again when the token was gone")
