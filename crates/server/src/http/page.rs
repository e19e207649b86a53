//! The page in the body of a GET: where a widely used client puts it.

use super::body;
use super::error::ApiError;
use crate::http::Http;
use axum::body::HttpBody;
use axum::extract::{FromRequest, Request};
use ia_engine::parameters::{self, Parameters};
use ia_model::lenient;
use serde_json::Value;
use std::sync::Arc;

/// A page takes few bytes; clients send filters beside it.
const MAX_BODY_BYTES: u32 = 64 << 10;

/// What the body of a `GET` says of a page. Nothing else counts in it, and a body that is no JSON object says nothing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct BodyPage {
    start_element: Option<u32>,
    num_elements: Option<u32>,
}

impl FromRequest<Arc<Http>> for BodyPage {
    type Rejection = ApiError;

    async fn from_request(request: Request, http: &Arc<Http>) -> Result<BodyPage, ApiError> {
        let (head, body) = request.into_parts();
        if body.is_end_stream() {
            return Ok(BodyPage::default());
        }
        let body = body::read(http, &head.headers, body, MAX_BODY_BYTES).await?;
        let (bytes, _reservation) = body.decode()?;
        BodyPage::of(&bytes)
    }
}

impl BodyPage {
    fn of(body: &[u8]) -> Result<BodyPage, ApiError> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let number = |name: &str, least: u32| {
            let number = match &body[name] {
                Value::Null => return Ok(None),
                Value::String(text) if text.trim().is_empty() => return Ok(None),
                Value::String(text) => lenient::unsigned(text),
                number => lenient::unsigned(&number.to_string()),
            };
            let reason = || format!("'{name}' in the body must be an integer of at least {least}");
            number.filter(|&number| number >= least).map(Some).ok_or_else(|| ApiError::syntax(reason()))
        };
        let sizes = [number("num_elements", 1)?, number("batch_size", 1)?].into_iter().flatten();
        let num_elements = parameters::only("num_elements' or 'batch_size", sizes)?;
        Ok(BodyPage { start_element: number("start_element", 0)?, num_elements })
    }

    /// Adds it to a query, where that says nothing of it.
    pub(super) fn add_to(self, query: &mut Parameters<'_>) {
        for (name, value) in [("start_element", self.start_element), ("num_elements", self.num_elements)] {
            if let Some(value) = value {
                query.add_absent(name, value.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_all_that_counts_in_a_body() {
        let page = |start_element, num_elements| BodyPage { start_element, num_elements };
        for (body, expected) in [
            (r#"{"start_element": 100, "num_elements": "50"}"#, page(Some(100), Some(50))),
            (r#"{"batch_size": 7, "state": "active", "id": [1]}"#, page(None, Some(7))),
            (r#"{"start_element": 100.0, "num_elements": "5e1"}"#, page(Some(100), Some(50))),
            (r#"{"batch_size": " 7 ", "num_elements": 7}"#, page(None, Some(7))),
            (r#"{"start_element": null, "num_elements": ""}"#, page(None, None)),
            (r#"{"segment": {"start_element": 1}}"#, page(None, None)),
            (r#"[{"start_element": 1}]"#, page(None, None)),
            ("start_element=1", page(None, None)),
            ("", page(None, None)),
        ] {
            assert_eq!(BodyPage::of(body.as_bytes()).unwrap(), expected, "{body}");
        }
        for (body, named) in [
            (r#"{"start_element": [1]}"#, "'start_element'"),
            (r#"{"start_element": 0.5}"#, "'start_element'"),
            (r#"{"start_element": -1}"#, "'start_element'"),
            (r#"{"batch_size": "0"}"#, "'batch_size'"),
            (r#"{"batch_size": 4294967296}"#, "'batch_size'"),
            (r#"{"num_elements": true}"#, "'num_elements'"),
            (r#"{"batch_size": 7, "num_elements": 8}"#, "'batch_size'"),
        ] {
            let error = BodyPage::of(body.as_bytes()).unwrap_err();
            assert!(error.status == 400 && error.message.contains(named), "{body}: {error:?}");
        }
    }
}
