//! `instant-audience demo`

use super::apply::apply;
use super::demo_login::{PASSWORD, USERNAME, with_catalog};
use super::{ServerArgs, serve, start_logging};
use anyhow::{Context, ensure};
use ia_catalog::{Catalog, CatalogFile};
use ia_engine::data_dir::DataDir;
use ia_model::MemberId;

const CATALOG: &str = include_str!("../../demo/catalog.json");

/// This member and its name identify the catalog of the demo.
const DEMO_MEMBER: MemberId = MemberId(958);
const DEMO_MEMBER_NAME: &str = "Demo Data Provider";

pub(super) fn run(args: ServerArgs) -> anyhow::Result<()> {
    let config = args.load()?;
    for address in [config.server.listen, config.server.ops_listen] {
        ensure!(
            address.ip().is_loopback(),
            "the demo has a login that everybody knows, so it listens on loopback only, not on {address}: \
             use 'serve' with your own catalog"
        );
    }
    start_logging(config.server.log_format, &config.server.log_level)?;
    let catalog = CatalogFile::parse(CATALOG.as_bytes())?;
    let data_dir = DataDir::create(&config.server.data_dir)?;
    {
        // Not while a server runs on this folder: the public login would work there at once.
        let _lock = data_dir.lock()?;
        ensure!(
            is_empty_or_demo(&data_dir)?,
            "the catalog in {} is not the demo's: give the demo another folder with --data-dir",
            config.server.data_dir.display()
        );
        apply(&catalog, &data_dir).context("cannot load the sample catalog")?;
    }
    let scheme = if config.tls_files().is_some() { "https" } else { "http" };
    serve::serve(config, |api| greeting(&format!("{scheme}://{api}")))
}

/// Whether the public login may be added to the catalog.
fn is_empty_or_demo(data_dir: &DataDir) -> anyhow::Result<bool> {
    with_catalog(data_dir, async |catalog| {
        let snapshot = catalog.snapshot().await?;
        let demo = snapshot.member(DEMO_MEMBER).is_some_and(|member| &*member.name == DEMO_MEMBER_NAME);
        Ok(demo || snapshot.members().next().is_none())
    })
}

fn greeting(api: &str) -> String {
    format!(
        r#"
Member 958 may write to its own segments 10001, 10002, 12 and 23784, and to those of members 1661
(code "abcd") and 1262 (code "zywx"). Its login is {USERNAME} / {PASSWORD}. Try:

TOKEN=$(curl -s {api}/auth -d '{{"auth": {{"username": "{USERNAME}", "password": "{PASSWORD}"}}}}' | grep -o 'hbapi:[^"]*')

curl -s -H "Authorization: $TOKEN" {api}/rt-segment -d '{{"rt_segment": [{{"user_id": "12345678900987654321", "seg_block": [{{"seg_id": 10001, "value": 1, "expiration": 1440}}, {{"seg_id": 10002, "value": 1, "expiration": 1440}}]}}]}}'

curl -s -H "Authorization: $TOKEN" '{api}/user-segment?user_id=12345678900987654321'

curl -s -H "Authorization: $TOKEN" '{api}/rt-segment-processed?agg=true'

"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_catalog_is_valid_and_has_the_login_that_is_printed() {
        CatalogFile::parse(CATALOG.as_bytes()).unwrap();
        let catalog: serde_json::Value = serde_json::from_str(CATALOG).unwrap();
        assert_eq!(catalog["users"][0]["username"], USERNAME);
        assert_eq!(catalog["users"][0]["password"], PASSWORD);
        assert_eq!(catalog["users"][0]["member_id"], DEMO_MEMBER.0);
        assert_eq!(catalog["members"][0]["id"], DEMO_MEMBER.0);
        assert_eq!(catalog["members"][0]["name"], DEMO_MEMBER_NAME);
    }
}
