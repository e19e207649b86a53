"""Uploads Avro files as the libraries avro and fastavro make them, with each codec. The argument is where the API is."""

import io
import json
import sys
import time

import avro.datafile
import avro.io
import avro.schema
import fastavro
import requests

USERS = 400
DOMAINS = "idfa sha1udid md5udid openudid aaid windowsadid rida tifa vida lgudid".split()


def record(name, *fields):
    return {"type": "record", "name": name, "fields": [{"name": field, "type": kind} for field, kind in fields]}


# A field and an enum of one name, docs, and fields that may be missing.
SCHEMA = {
    "namespace": "com.example.segments",
    "type": "record",
    "name": "upload",
    "doc": "A user and its segments",
    "fields": [
        {
            "name": "uid",
            "doc": "Eight kinds of ids",
            "type": [
                "long",
                record(
                    "device_id",
                    ("id", "string"),
                    ("domain", {"type": "enum", "name": "domain", "symbols": DOMAINS}),
                ),
                record("ifa", ("id", "string"), ("type", "string")),
                record("external_id", ("id", "string"), ("member_id", "int")),
                record("eid", ("source", "string"), ("id", "string")),
                record("xfa", ("device_model_id", "int"), ("ip", "string")),
                record("aes_encrypted", ("cipher", "string"), ("key", "int")),
                record("hem", ("hash", "string"), ("hash_type", "string")),
            ],
        },
        {
            "name": "segments",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "segment",
                    "fields": [
                        {"name": "id", "type": "int", "default": 0},
                        {"name": "code", "type": "string", "default": ""},
                        {"name": "member_id", "type": "int", "default": 0},
                        {"name": "expiration", "type": "int", "default": 0},
                        {"name": "timestamp", "type": "long", "default": 0},
                        {"name": "value", "type": "int", "default": 0},
                    ],
                },
            },
        },
    ],
}


def users(number):
    """One of each kind; the last three are no users here."""
    uuid = f"{number:08x}-0000-4000-8000-000000000000"
    return [
        1_000_000 + number,
        {"id": uuid, "domain": DOMAINS[0]},
        {"id": uuid, "type": "aaid"},
        {"id": f"crm-{number}", "member_id": 0},
        {"source": "example.com", "id": f"e{number}"},
        {"device_model_id": number, "ip": "192.0.2.1"},
        {"cipher": "x", "key": number},
        {"hash": "0" * 64, "hash_type": "sha256"},
    ]


def segment(**given):
    return {"id": 0, "code": "", "member_id": 0, "expiration": 0, "timestamp": 0, "value": 0, **given}


SEGMENTS = [segment(id=900001, value=7), segment(code="second", member_id=4, expiration=60)]
RECORDS = [{"uid": uid, "segments": SEGMENTS} for number in range(USERS) for uid in users(number)]


def by_avro(codec):
    buffer = io.BytesIO()
    schema = avro.schema.parse(json.dumps(SCHEMA))
    writer = avro.datafile.DataFileWriter(buffer, avro.io.DatumWriter(), schema, codec=codec)
    for entry in RECORDS:
        writer.append(entry)
    writer.flush()
    return buffer.getvalue()


def by_fastavro(codec):
    buffer = io.BytesIO()
    fastavro.writer(buffer, fastavro.parse_schema(SCHEMA), RECORDS, codec=codec)
    return buffer.getvalue()


api = sys.argv[1]
credentials = {"auth": {"username": "files", "password": "Correct-horse-1"}}
token = requests.post(f"{api}/auth", json=credentials).json()["response"]["token"]
headers = {"Authorization": token}


def load(file):
    made = requests.post(f"{api}/batch-segment?member_id=4", headers=headers).json()["response"]
    new = made["batch_segment_upload_job"]
    sent = requests.post(new["upload_url"], data=file, timeout=5)
    assert sent.status_code == 200, sent.text
    for _ in range(200):
        answer = requests.get(f"{api}/batch-segment?job_id={new['job_id']}", headers=headers)
        job = answer.json()["response"]["batch_segment_upload_job"]
        if job["phase"] in ("completed", "error"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)


for library, make in [("avro", by_avro), ("fastavro", by_fastavro)]:
    for codec in ["null", "deflate", "snappy"]:
        made = make(codec)
        assert made.startswith(b"Obj\x01") and codec.encode() in made
        job = load(made)
        assert job["phase"] == "completed", (library, codec, job)
        counts = [job[name] for name in ("num_valid", "num_valid_user", "num_invalid_user", "num_invalid_format")]
        assert counts == [10 * USERS, 5 * USERS, 3 * USERS, 0], (library, codec, job)
        assert job["segment_log_lines"] == f"900001:{5 * USERS}\n900002:{5 * USERS}", (library, codec, job)
        # A damaged block is no block: the job ends in an error.
        damaged = bytearray(made)
        damaged[-20] ^= 0x40
        damaged = load(bytes(damaged[:-9]))
        assert damaged["phase"] == "error" and damaged["num_valid"] == 0, (library, codec, damaged)
        print(f"{library}: {len(RECORDS)} records with codec {codec}: 8 kinds of ids, 5 of them users", flush=True)

user = requests.get(f"{api}/user-segment?user_id=1000007", headers=headers).json()["response"]["user_segment"]
assert [(one["id"], one["value"]) for one in user["segments"]] == [(900001, 7), (900002, 0)], user
