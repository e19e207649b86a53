//! Passwords and keys that are set by the API.

use super::*;

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
