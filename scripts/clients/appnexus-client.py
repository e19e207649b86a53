"""What a provider's job does with appnexus-client. The argument is where the API is."""

import gzip
import sys
import time

import requests
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


def load(lines):
    """Makes a job, uploads a file as requests sends bytes, and waits for its end."""
    made = client.batch_segment.create({}, member_id=1)
    assert made["count"] == 1 and made["num_elements"] == 100, made
    new = made["batch_segment_upload_job"]
    assert len(new["job_id"]) == 40 and new["upload_url"].startswith(sys.argv[1]), new
    file = gzip.compress("".join(lines).encode())
    for _ in range(2):
        answer = requests.post(new["upload_url"], data=file, timeout=5)
        assert answer.status_code == 200, answer.text
        assert answer.json()["response"]["segment_upload"] == {"job_id": new["job_id"]}
    for _ in range(100):
        # With a page, as all of its reads.
        job = client.batch_segment.find_one(member_id=1, job_id=new["job_id"])
        if job["phase"] in ("completed", "error"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)


target = client.segment.find_one(code="seg-101")["id"]
done = load([f"{1000 + user}:{target},0,{user}\n" for user in range(500)] + ["nobody:5,0,0\n", "5:1\n"])
assert (done["phase"], done["percent_complete"], done["error_code"]) == ("completed", 100, None), done
assert (done["num_valid"], done["num_valid_user"]) == (500, 500), done
assert (done["num_invalid_user"], done["num_invalid_format"]) == (1, 1), done
assert done["segment_log_lines"] == f"{target}:500", done
assert len(done["error_log_lines"].split("\n")) == 2, done
same = client.batch_segment.get(member_id=1, job_id=done["job_id"])
assert same["batch_segment_upload_job"] == done and same["count"] == 1
array = client.batch_segment.get(member_id=1, job_id=done["job_id"], array=True)
assert array["batch_segment_upload_job"] == [done], array
say(f"uploaded a file by job {done['id']}, twice; it is applied once, and read by find_one and get")

for n in range(4):
    load([f"{2000 + n}:{target},0,0\n"])
jobs = client.batch_segment.find(member_id=1)
assert len(jobs) == 5 and [job["id"] for job in jobs] == sorted((job["id"] for job in jobs), reverse=True)
first = client.batch_segment.find(sort="num_valid.desc", phase="completed")[0]
assert first == done and client.batch_segment.find(min_num_valid=100).count() == 1
assert client.batch_segment.find(phase="error").first is None
assert any(field["name"] == "phase" and field["filter_by"] for field in client.meta("batch-segment")["fields"])
none = refused(lambda: client.batch_segment.get(job_id="x" * 40), 404)
assert none["error_id"] == none["error_code"] == "SYNTAX" and none["errors"] == [none["error"]], none
say("paged, sorted and filtered the history of 5 jobs, read its meta answer; an unknown job is a 404")
