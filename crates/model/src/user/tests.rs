use super::*;
use proptest::prelude::*;

#[test]
fn spellings_of_one_uuid_are_one_user() {
    let lower = UserKey::parse(Domain::Idfa, "aebe52e7-03ee-455a-b3c4-e57283966239").unwrap();
    let upper = UserKey::parse(Domain::Idfa, "AEBE52E7-03EE-455A-B3C4-E57283966239").unwrap();
    let bare = UserKey::parse(Domain::Idfa, "AEBE52E703EE455AB3C4E57283966239").unwrap();
    assert_eq!(lower, upper);
    assert_eq!(lower, bare);
    let braced = UserKey::parse(Domain::Idfa, " {AEBE52E7-03EE-455A-B3C4-E57283966239}\r\n").unwrap();
    assert_eq!(lower, braced);
    assert_eq!(upper.id(), "aebe52e7-03ee-455a-b3c4-e57283966239");
    for id in ["{AEBE52E703EE455AB3C4E57283966239", "AEBE52E703EE455AB3C4E57283966239}", "{}", "{{}}"] {
        assert_eq!(UserKey::parse(Domain::Idfa, id), Err(InvalidUserId), "{id}");
    }
    assert_ne!(lower, UserKey::parse(Domain::Aaid, "AEBE52E7-03EE-455A-B3C4-E57283966239").unwrap());
}

#[test]
fn platform_ids_are_1_to_the_largest_64_bit_number() {
    assert_eq!(UserKey::parse(Domain::Platform, "18446744073709551615").unwrap().id(), u64::MAX.to_string());
    assert_eq!(UserKey::parse(Domain::Platform, "007").unwrap().id(), "7");
    assert_eq!(UserKey::parse(Domain::Platform, " 12346\t").unwrap().id(), "12346");
    for id in ["0", "", "-1", "+1", "18446744073709551616", "1.0", "1 1", "asdf", "١"] {
        assert_eq!(UserKey::parse(Domain::Platform, id), Err(InvalidUserId), "{id:?}");
    }
}

#[test]
fn digests_have_their_length() {
    let sha1 = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";
    assert_eq!(UserKey::parse(Domain::Sha1Udid, &sha1.to_uppercase()).unwrap().id(), sha1);
    assert_eq!(UserKey::parse(Domain::OpenUdid, sha1).unwrap().id(), sha1);
    assert!(UserKey::parse(Domain::Md5Udid, &sha1[..32]).is_ok());
    assert!(UserKey::parse(Domain::Md5Udid, sha1).is_err());
    assert!(UserKey::parse(Domain::Sha1Udid, &sha1[..39]).is_err());
    assert!(UserKey::parse(Domain::Sha1Udid, &format!("-{}", &sha1[1..])).is_err());
    assert!(UserKey::parse(Domain::Md5Udid, &format!("{{{}}}", &sha1[..32])).is_err());
}

#[test]
fn what_stands_for_no_device_is_all_zero() {
    for domain in Domain::ALL {
        let zeros = match domain {
            Domain::External => UserKey::external(MemberId(0), "0").unwrap(),
            Domain::Extended => UserKey::extended("a.example", "0").unwrap(),
            Domain::Platform => continue,
            _ => UserKey::parse(domain, &"0".repeat(2 * domain.id_bytes(&[]).unwrap())).unwrap(),
        };
        assert_eq!(zeros.is_all_zero(), domain != Domain::External, "{domain:?}");
    }
    let nearly = UserKey::parse(Domain::Idfa, "00000000-0000-0000-0000-000000000001").unwrap();
    assert!(!nearly.is_all_zero());
}

#[test]
fn every_domain_goes_through_its_name_and_its_bytes() {
    for domain in Domain::ALL {
        let key = match domain {
            Domain::External => UserKey::external(MemberId(958), "A;b ü").unwrap(),
            Domain::Extended => UserKey::extended("liveramp.com", "A;b ü").unwrap(),
            Domain::Platform => UserKey::platform(11_111_111).unwrap(),
            _ => UserKey::parse(domain, &"1".repeat(2 * domain.id_bytes(&[]).unwrap())).unwrap(),
        };
        assert_eq!(UserKey::split_encoded(key.as_bytes()), Some((key.as_bytes(), [].as_slice())));
        assert_eq!(UserKey::from_bytes(key.as_bytes()), Ok(key.clone()));
        assert_eq!(key.domain(), domain);
        if let Some(name) = domain.name() {
            assert_eq!(Domain::from_name(name), Some(domain));
        }
    }
    assert_eq!(Domain::from_name("sh1udid"), Some(Domain::Sha1Udid));
    assert_eq!(Domain::from_name("sha1mac"), None);
    assert_eq!(Domain::from_name(" SHA1MAC "), None);
    assert_eq!(Domain::from_name("IDFA "), Some(Domain::Idfa));
    assert_eq!(Domain::from_name("Sh1Udid"), Some(Domain::Sha1Udid));
    assert_eq!(Domain::from_name(""), None);
    assert_eq!(UserKey::from_bytes(&[1, 2]), Err(InvalidUserId));
    assert_eq!(UserKey::from_bytes(&[99; 9]), Err(InvalidUserId));
    assert_eq!(UserKey::from_bytes(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), Err(InvalidUserId), "0 is no user");
}

#[test]
fn external_ids_are_texts_in_a_name_space() {
    let external = |member, id: &str| UserKey::external(MemberId(member), id);
    let key = external(7, "Cart-42").unwrap();
    assert_eq!(key.as_bytes(), b"\x0c\x00\x00\x00\x07\x07Cart-42");
    assert_eq!((key.id().as_str(), key.namespace()), ("Cart-42", Some(MemberId(7))));
    assert_ne!(external(8, "Cart-42").unwrap(), key);
    assert_ne!(external(7, "cart-42").unwrap(), key);
    assert_eq!(external(7, &"x".repeat(255)).unwrap().id().len(), 255);
    assert_eq!(external(7, "\tCart-42 ").unwrap(), key);
    let kept = b"\x0c\x00\x00\x00\x07\x01 ";
    assert_eq!(UserKey::from_bytes(kept).unwrap().as_bytes(), kept, "from before white space was cut off");
    for id in ["", " ", "two\nlines", "nul\0", "\u{7f}", "\u{85}", &"x".repeat(256), &"ü".repeat(128)] {
        assert_eq!(external(7, id), Err(InvalidUserId), "{id:?}");
    }
    // Encoded: an empty id, a cut id, a byte too many, no text at all, a control character.
    for id in ["\0\0\0\x07\0", "\0\0\0\x07\x02a", "\0\0\0\x07\x01ab", "\0\0\0\x07", "\0\0\0\x07\x01\n"] {
        assert_eq!(UserKey::from_bytes(&[b"\x0c", id.as_bytes()].concat()), Err(InvalidUserId), "{id:?}");
    }
    assert_eq!(UserKey::from_bytes(b"\x0c\0\0\0\x07\x01\xff"), Err(InvalidUserId));
    assert_eq!(UserKey::parse(Domain::External, "1"), Err(InvalidUserId));
    assert_eq!(UserKey::platform(7).unwrap().namespace(), None);
}

#[test]
fn debug_does_not_show_the_id() {
    let key = UserKey::platform(123_456_789).unwrap();
    assert!(!format!("{key:?}").contains("123456789"));
}

#[test]
fn extended_ids_are_texts_of_a_source() {
    let key = UserKey::extended(" LiveRamp.com\t", " XYaB:7 ").unwrap();
    assert_eq!(key.as_bytes(), b"\x0d\x0cliveramp.com\x06XYaB:7");
    assert_eq!((key.id().as_str(), key.source()), ("XYaB:7", Some("liveramp.com")));
    assert_eq!(key.domain_name().as_deref(), Some("eid:liveramp.com"));
    assert_eq!((key.domain(), key.namespace()), (Domain::Extended, None));
    assert_eq!(UserKey::from_bytes(key.as_bytes()), Ok(key.clone()));
    // One text of two sources, two texts of one, and a text that could be cut in two ways, are different users.
    for (source, id) in [("id5-sync.com", "XYaB:7"), ("liveramp.com", "xyab:7"), ("liveramp.comx", "YaB:7")] {
        assert_ne!(UserKey::extended(source, id).unwrap(), key, "{source} {id}");
    }
    let longest = UserKey::extended(&"s".repeat(255), &"x".repeat(255)).unwrap();
    assert_eq!(UserKey::from_bytes(longest.as_bytes()), Ok(longest.clone()));
    let behind = [longest.as_bytes(), b"more"].concat();
    assert_eq!(UserKey::split_encoded(&behind), Some((longest.as_bytes(), &b"more"[..])));
    for source in ["", " ", "a b", "a\tb", "https://a", "a:b", "a,b", "ü.example", "a\0", &"s".repeat(256)] {
        assert_eq!(UserKey::extended(source, "x"), Err(InvalidUserId), "{source:?}");
    }
    for id in ["", " ", "two\nlines", "nul\0", "\u{85}", &"x".repeat(256)] {
        assert_eq!(UserKey::extended("a", id), Err(InvalidUserId), "{id:?}");
    }
    for cut in 0..key.as_bytes().len() {
        assert_eq!(UserKey::from_bytes(&key.as_bytes()[..cut]), Err(InvalidUserId), "{cut}");
        assert_eq!(UserKey::split_encoded(&key.as_bytes()[..cut]), None, "{cut}");
    }
    // Encoded: no source, no id, a byte too many, a capital letter, white space, a control character, no text.
    for bytes in [
        &b"\x0d\0\x01x"[..],
        b"\x0d\x01a\0",
        b"\x0d\x01a\x01xy",
        b"\x0d\x01A\x01x",
        b"\x0d\x01a\x02 x",
        b"\x0d\x01a\x01\n",
        b"\x0d\x01a\x01\xff",
        b"\x0d\x01\xff\x01x",
    ] {
        assert_eq!(UserKey::from_bytes(bytes), Err(InvalidUserId), "{bytes:?}");
    }
}

#[test]
fn the_name_of_an_extended_id_names_its_source() {
    for (name, source) in [
        ("eid:liveramp.com", Some("liveramp.com")),
        (" EID : LiveRamp.com\t", Some("LiveRamp.com")),
        ("eid:", Some("")),
        ("eid:a:b", Some("a:b")),
        ("eid", None),
        ("eids:a", None),
        ("idfa", None),
        ("liveramp.com", None),
    ] {
        assert_eq!(Domain::source_in(name), source, "{name:?}");
        assert_eq!(Domain::from_name(name), (name == "idfa").then_some(Domain::Idfa), "{name:?}");
    }
    assert_eq!(UserKey::platform(7).unwrap().domain_name(), None);
    assert_eq!(UserKey::external(MemberId(7), "x").unwrap().domain_name(), None);
    let idfa = UserKey::parse(Domain::Idfa, &"a".repeat(32)).unwrap();
    assert_eq!(idfa.domain_name().as_deref(), Some("idfa"));
}

#[test]
fn zeros_are_nobodys_in_every_spelling_of_an_extended_id() {
    let is_all_zero = |id| UserKey::extended("a", id).unwrap().is_all_zero();
    let uuid = "00000000-0000-0000-0000-000000000000";
    let others = [uuid.replace('-', ""), format!("{{{uuid}}}"), "0".repeat(64)];
    for id in ["0", uuid].into_iter().chain(others.iter().map(String::as_str)) {
        assert!(is_all_zero(id), "{id}");
    }
    for id in ["1", "-", "{}", "O", "00000000-0000-0000-0000-000000000001", "{0", "0.0"] {
        assert!(!is_all_zero(id), "{id}");
    }
}

proptest! {
    /// Source and id are what a key says of them, and nothing else gives the same key.
    #[test]
    fn a_key_tells_its_source_from_its_id(
        pairs in proptest::collection::vec(("[aB.]{1,3}", "[aB.:\u{e9}]{1,3}"), 2..8), rest in "[a-c]{0,3}",
    ) {
        let keys: Vec<UserKey> =
            pairs.iter().map(|(source, id)| UserKey::extended(source, id).unwrap()).collect();
        for ((source, id), key) in pairs.iter().zip(&keys) {
            prop_assert_eq!(key.source().map(str::to_owned), Some(source.to_ascii_lowercase()));
            prop_assert_eq!(&key.id(), id);
            prop_assert_eq!(UserKey::from_bytes(key.as_bytes()), Ok(key.clone()));
            let behind = [key.as_bytes(), rest.as_bytes()].concat();
            prop_assert_eq!(UserKey::split_encoded(&behind), Some((key.as_bytes(), rest.as_bytes())));
            for ((other_source, other_id), other) in pairs.iter().zip(&keys) {
                let is_same = source.eq_ignore_ascii_case(other_source) && id == other_id;
                prop_assert_eq!(key == other, is_same);
            }
        }
    }
}
