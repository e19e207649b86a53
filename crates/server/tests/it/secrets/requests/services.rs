//! Passwords and keys that are set by the API.

use super::*;
use ia_catalog::listing::Writing;
use ia_engine::services::ALL;

/// A private key in place of a public key and of a signed token; passwords and tokens in the same places.
pub(super) fn private_keys(builder: &mut Builder, canaries: &mut Canaries) {
    let pem = |kind: &str| format!("-----BEGIN {kind}-----\\nPKCANARY0123\\n-----END {kind}-----\\n");
    let mut values: Vec<String> =
        ["PRIVATE KEY", "RSA PRIVATE KEY", "PUBLIC KEY", "OPENSSH PRIVATE KEY"].map(pem).into();
    values.extend(["PKCANARY".to_owned(), canaries.password(), canaries.token(), builder.token.clone()]);
    canaries.made += values.len();
    for value in &values {
        for body in [
            format!(r#"{{"public-key": {{"name": "k", "encoded_value": "{value}"}}}}"#),
            format!(r#"{{"public-key": {{"name": "{value}", "encoded_value": "x"}}}}"#),
            format!(r#"{{"public-key": {{"{value}": 1, "encoded_value": ["{value}"]}}}}"#),
            format!(r#"{{"public-key": "{value}"}}"#),
            format!(r#"{{"{value}": {{}}}}"#),
            value.clone(),
            format!("{value}.{value}.{value}"),
        ] {
            builder.authorized("POST", "/public-key", "", body.as_bytes(), false);
            builder.authorized("PUT", "/public-key?id=1", "", body.as_bytes(), false);
            builder.add("POST", "/v2/auth/jwt", "", body.as_bytes(), false);
        }
    }
}

/// Passwords that are set, valid and invalid, and passwords in place of other values.
pub(super) fn new_passwords(builder: &mut Builder, canaries: &mut Canaries) {
    let (password, weak) = (canaries.password(), canaries.password().to_ascii_uppercase());
    let users = [
        format!(r#"{{"username": "new", "password": "{password}", "entity_id": 958}}"#),
        format!(r#"{{"username": "new", "password": "{weak}", "entity_id": 958}}"#),
        format!(r#"{{"username": "new", "password": ["{password}"], "entity_id": 958}}"#),
        format!(r#"{{"id": "{password}", "password": {{"{password}": 1}}}}"#),
        format!(r#"{{"{password}": "{password}", "state": "{password}", "user_type": "{password}"}}"#),
        format!(r#"{{"entity_id": "{password}", "read_only": "{password}"}}"#),
        format!(r#"{{"email": "{password}"}}"#),
        format!("\"{password}\""),
    ];
    for user in &users {
        for (method, target) in
            [("POST", "/user"), ("PUT", "/user?id=4711"), ("PUT", "/user?id=1"), ("PUT", "/member?id=958")]
        {
            let singular = if target.starts_with("/user") { "user" } else { "member" };
            for body in [
                format!(r#"{{"{singular}": {user}}}"#),
                format!(r#"{{"{singular}s": [{user}]}}"#),
                format!(r#"{{"{singular}": {user}"#),
                user.clone(),
            ] {
                builder.authorized(method, target, "", body.as_bytes(), false);
                builder.add(method, target, "", body.as_bytes(), false);
            }
        }
    }
}

/// Passwords and tokens in each field of each service and in each filter. Every body has a fault beside the canary, or is
/// for an object that does not exist: what is stored is shown to who may see it, and is in the data directory.
pub(super) fn every_field(builder: &mut Builder, canaries: &mut Canaries) {
    let secrets = [canaries.password(), canaries.token()];
    for resource in ALL {
        let (key, path) = (resource.singular, format!("/{}", resource.singular.replace('_', "-")));
        let written: Vec<_> =
            resource.fields.iter().filter(|field| field.writing != Writing::Never).collect();
        let faults: Vec<String> = written.iter().map(|field| format!("\"{}\": [[5]]", field.name)).collect();
        let faulty = format!("{{{}}}", faults.join(","));
        for (field, secret) in written.into_iter().zip(secrets.iter().cycle()) {
            in_field(builder, key, &path, field.name, secret, &faulty);
        }
        for secret in &secrets {
            for name in ["search", "sort", "fields", "id", "num_elements"] {
                builder.authorized("GET", &format!("{path}?{name}={secret}"), "", b"", false);
                builder.authorized("DELETE", &format!("{path}?{name}={secret}"), "", b"", false);
            }
        }
    }
}

/// A secret in one field of a service, in a body beside the `faulty` object, and in filters.
fn in_field(builder: &mut Builder, key: &str, path: &str, name: &str, secret: &str, faulty: &str) {
    for value in [
        format!("\"{secret}\""),
        format!("[\"{secret}\", 1]"),
        format!("{{\"{secret}\": \"{secret}\", \"id\": \"{secret}\", \"url\": \"https://{secret}\"}}"),
        format!("\"{}\"", secret.repeat(200)),
        // What is no JSON.
        format!("{secret}\"{secret}\u{1}\""),
    ] {
        let object = format!("{{\"{name}\": {value}}}");
        for (method, target, body) in [
            ("POST", path.to_owned(), format!("{{\"{key}\": [{object}, {faulty}]}}")),
            ("PUT", format!("{path}?id=4711&member_id=4711"), format!("{{\"{key}\": {object}}}")),
        ] {
            builder.authorized(method, &target, "", body.as_bytes(), false);
        }
    }
    let escaped = secret.replace(':', "%3A").replace('!', "%21");
    for prefix in ["", "like_", "nmin_"] {
        // A list repeats nothing of its query.
        builder.authorized("GET", &format!("{path}?{prefix}{name}={escaped}"), "", b"", false);
    }
}
