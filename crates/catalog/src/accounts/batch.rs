use super::plan::{Draft, Place};
use super::text;
use crate::rules::check_at_most;
use crate::{BatchFiles, CatalogError, Change};
use ia_model::MemberId;

/// What the block of a segment in a file may be made of.
pub const SEGMENT_FIELDS: [&str; 6] = ["SEG_ID", "SEG_CODE", "MEMBER_ID", "EXPIRATION", "VALUE", "TIMESTAMP"];

/// The largest number that JSON clients read exactly.
const MAX_LIMIT: u64 = (1 << 53) - 1;

/// What is to become of a member's set-up. What is `None` or [`Change::Keep`] stays.
#[derive(Debug, Clone, Default)]
pub struct BatchEdit {
    /// Where the object stands in a list of several, like `batch_segment_configs[3].`; for errors.
    pub path: String,
    /// Minutes; 0 is for ever.
    pub default_expiration: Change<u32>,
    /// Whether a user id without a domain is one of the member's own.
    pub use_external_uids: Option<bool>,
    /// In whose name space those ids are.
    pub external_member_uid: Change<u32>,
    /// The owners into whose segments the member may write.
    pub segment_access: Option<Vec<u32>>,
    /// Whether `segment_access` comes to what is there already, in place of it.
    pub append: bool,
    /// See [`BatchFiles`].
    pub separators: [Option<String>; 5],
    /// See [`BatchFiles`].
    pub segment_fields: Option<Vec<String>>,
    /// See [`BatchFiles`].
    pub hourly_byte_limit: Change<u64>,
    /// See [`BatchFiles`].
    pub hourly_num_lines_limit: Change<u64>,
    /// See [`BatchFiles`].
    pub daily_byte_limit: Change<u64>,
    /// See [`BatchFiles`].
    pub daily_num_lines_limit: Change<u64>,
    /// See [`BatchFiles`].
    pub max_concurrent_uploads: Change<u64>,
    /// See [`BatchFiles`].
    pub num_error_log_lines: Change<u64>,
    /// See [`BatchFiles`].
    pub num_invalid_before_error: Change<u64>,
}

impl Draft<'_> {
    pub(super) fn create_batch(&mut self, id: MemberId, edit: &BatchEdit) -> Result<u32, CatalogError> {
        self.must_be_admin()?;
        if self.members.get(&id).is_some_and(|row| row.batch.is_some()) {
            let reason = format!("member {id} has a set-up already; change it");
            return Err(CatalogError::conflict(Place(&edit.path).of("member_id"), reason));
        }
        self.edit_batch(id, edit)
    }

    pub(super) fn edit_batch(&mut self, id: MemberId, edit: &BatchEdit) -> Result<u32, CatalogError> {
        self.must_be_admin()?;
        let at = Place(&edit.path);
        let row = self.members.get(&id).cloned();
        let mut row = row.ok_or_else(|| CatalogError::NotFound(format!("member {id}")))?;
        text::at_most_max(&at.of("default_expiration"), &edit.default_expiration)?;
        edit.default_expiration.write_to(&mut row.member.default_expiration);
        if let Some(use_external_uids) = edit.use_external_uids {
            row.member.use_external_uids = use_external_uids;
        }
        self.external_member(&at.of("external_member_uid"), &edit.external_member_uid, &mut row.member)?;
        if let Some(owners) = &edit.segment_access {
            if !edit.append {
                row.segment_access.clear();
            }
            for (index, &owner) in owners.iter().enumerate() {
                let path = format!("member_segment_access[{index}].segment_owner_member_id");
                row.segment_access.insert(self.known_member(&at.of(&path), owner)?);
            }
        }
        let mut files = row.batch.take().unwrap_or_default();
        files.take_over(&at, edit)?;
        row.batch = Some(files);
        self.members.insert(id, row);
        Ok(id.0)
    }
}

/// Signs that no separator may be.
const NO_SEPARATORS: &str = r"[](){}$\/|?*+-";

impl BatchFiles {
    /// Only the first and the third separator may be the same: a line is split at the first of them once, from its start.
    fn check_distinct(&self, at: &Place<'_>, edit: &BatchEdit) -> Result<(), CatalogError> {
        let pairs = (1..=5).flat_map(|one| (one + 1..=5).map(move |other| (one, other)));
        let is_sent = |number: usize| edit.separators[number - 1].is_some();
        for (one, other) in
            pairs.filter(|&(one, other)| (one, other) != (1, 3) && (is_sent(one) || is_sent(other)))
        {
            if self.separators[one - 1] == self.separators[other - 1] {
                let (named, same) = if is_sent(other) { (other, one) } else { (one, other) };
                let reason = format!(
                    "it is the same as separator_{same}; only separator_1 and separator_3 may be equal"
                );
                return Err(CatalogError::invalid(at.of(&format!("separator_{named}")), reason));
            }
        }
        Ok(())
    }

    fn take_over(&mut self, at: &Place<'_>, edit: &BatchEdit) -> Result<(), CatalogError> {
        for (number, (separator, wanted)) in (1..).zip(self.separators.iter_mut().zip(&edit.separators)) {
            // What is there may be sent again: earlier versions had other rules.
            if let Some(wanted) = wanted.as_ref().filter(|&wanted| wanted != separator) {
                check_separator(&at.of(&format!("separator_{number}")), wanted)?;
                separator.clone_from(wanted);
            }
        }
        self.check_distinct(at, edit)?;
        if let Some(fields) = &edit.segment_fields {
            check_fields(&at.of("segment_fields"), fields)?;
            self.segment_fields.clone_from(fields);
        }
        for (name, limit, change) in [
            ("hourly_byte_limit", &mut self.hourly_byte_limit, &edit.hourly_byte_limit),
            ("hourly_num_lines_limit", &mut self.hourly_num_lines_limit, &edit.hourly_num_lines_limit),
            ("daily_byte_limit", &mut self.daily_byte_limit, &edit.daily_byte_limit),
            ("daily_num_lines_limit", &mut self.daily_num_lines_limit, &edit.daily_num_lines_limit),
            ("max_concurrent_uploads", &mut self.max_concurrent_uploads, &edit.max_concurrent_uploads),
            ("num_error_log_lines", &mut self.num_error_log_lines, &edit.num_error_log_lines),
            ("num_invalid_before_error", &mut self.num_invalid_before_error, &edit.num_invalid_before_error),
        ] {
            check_at_most(change.value(), MAX_LIMIT)
                .map_err(|reason| CatalogError::invalid(at.of(name), reason))?;
            change.write_to(limit);
        }
        Ok(())
    }
}

/// A separator is one printed ASCII character or a tab, and none that stands in ids, codes and numbers or means something
/// in patterns: programs of all kinds split these files.
fn check_separator(path: &str, text: &str) -> Result<(), CatalogError> {
    let is_fit = |c: char| {
        let is_sign = c.is_ascii_punctuation() && !NO_SEPARATORS.contains(c);
        is_sign || matches!(c, ' ' | '\t')
    };
    let mut characters = text.chars();
    if characters.next().is_some_and(is_fit) && characters.next().is_none() {
        return Ok(());
    }
    let reason = format!(
        "a separator is one ASCII character: a tab, a space or a sign, but no letter, no digit and none of {NO_SEPARATORS}"
    );
    Err(CatalogError::invalid(path, reason))
}

fn check_fields(path: &str, fields: &[String]) -> Result<(), CatalogError> {
    if let Some(unknown) = fields.iter().position(|field| !SEGMENT_FIELDS.contains(&field.as_str())) {
        let reason = format!("a field is one of {}", SEGMENT_FIELDS.join(", "));
        return Err(CatalogError::invalid(format!("{path}[{unknown}]"), reason));
    }
    if let Some(twice) = (1..fields.len()).find(|&index| fields[..index].contains(&fields[index])) {
        let reason = format!("{} stands twice", fields[twice]);
        return Err(CatalogError::invalid(format!("{path}[{twice}]"), reason));
    }
    let has = |name: &str| fields.iter().any(|field| field == name);
    match (has("SEG_ID"), has("SEG_CODE")) {
        (false, false) => Err(CatalogError::invalid(path, "SEG_ID or SEG_CODE is needed")),
        (true, true) => Err(CatalogError::invalid(path, "SEG_ID and SEG_CODE cannot be used together")),
        _ => Ok(()),
    }
}
