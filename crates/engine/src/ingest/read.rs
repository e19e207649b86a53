//! The reader of a request: one walk over the body, which applies the structural rules and hands each well-formed
//! user to the resolver. What a warning shows is not kept: a warning remembers where in the body it is.

use super::json::{Json, NotJson, Read, Text};
use super::resolve::{Context, Resolved, Resolver};
use super::structure::{Block, BlockRequest, SegBlock, StructureLimits, User};
use super::warning::{Entity, Message, Warning};
use crate::threads::Turns;

/// The bytes of a user with one short block.
const SHORT_USER_BYTES: usize = 64;
/// No room is made for more users before they are there: as many as a request may have, as shipped.
const MANY_USERS: usize = 1000;

/// What of a request is read, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadRules {
    pub(super) limits: StructureLimits,
    /// Whether the caller wants a warning for each block that the resolver drops.
    pub(super) verbose: bool,
    /// How often other threads get a turn.
    pub(super) turns: Turns,
}

/// A request that was read to its end.
#[derive(Debug)]
pub(super) struct ReadRequest<'r> {
    /// Users that passed the structural rules.
    pub(super) users: usize,
    /// Blocks that passed, over all users.
    pub(super) segments: usize,
    /// Users and blocks that did not pass.
    pub(super) malformed: usize,
    /// First those of the structural rules (block, then its user, then the request), then those of the resolver.
    pub(super) warnings: Vec<Warning<'r>>,
    pub(super) resolved: Resolved,
}

/// Why there is no request in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRequest {
    /// The body is not a JSON object.
    NotJson,
    /// The object has no array of users.
    Shape(&'static str),
}

impl From<NotJson> for NoRequest {
    fn from(NotJson: NotJson) -> NoRequest {
        NoRequest::NotJson
    }
}

/// A well-formed block.
pub(super) struct ReadBlock<'r> {
    pub(super) request: BlockRequest<'r>,
    /// Where in the body it is.
    start: usize,
}

/// Reads a body.
pub(super) fn read<'r>(
    body: &'r str,
    rules: ReadRules,
    context: Context<'_>,
) -> Result<ReadRequest<'r>, NoRequest> {
    let mut json = Json::new(body);
    if json.peek()? != b'{' {
        return Err(NoRequest::NotJson);
    }
    let mut expected_users = (body.len() / SHORT_USER_BYTES).min(MANY_USERS);
    let mut request = Err("'rt_segment' is required");
    let mut more = json.enter(b'}')?;
    while more {
        let key = json.key()?.decode();
        json.colon()?;
        if key == "rt_segment" {
            request = match json.peek()? {
                b'[' => {
                    // Of equal keys the last counts. Room is made for the first only, since there can be many.
                    let resolver = Resolver::new(std::mem::take(&mut expected_users), context);
                    let mut reader = Reader::new(json, rules, resolver);
                    reader.users()?;
                    json = reader.json;
                    Ok(reader)
                }
                b'n' => json.skip(1).map(|()| Err("'rt_segment' is required"))?,
                _ => json.skip(1).map(|()| Err("'rt_segment' must be an array"))?,
            };
        } else {
            json.skip(1)?;
        }
        more = json.next(b'}')?;
    }
    json.end()?;
    request.map(Reader::finish).map_err(NoRequest::Shape)
}

struct Reader<'r, 'c> {
    json: Json<'r>,
    rules: ReadRules,
    resolver: Resolver<'c>,
    users: usize,
    segments: usize,
    malformed: usize,
    warnings: Vec<Warning<'r>>,
    /// Warnings of the resolver.
    dropped: Vec<Warning<'r>>,
    /// The well-formed blocks of the user that is being read.
    blocks: Vec<ReadBlock<'r>>,
    /// Where its other blocks are, each with its message; `None` for one over the limit.
    faults: Vec<(usize, Option<&'static str>)>,
}

impl<'r, 'c> Reader<'r, 'c> {
    fn new(json: Json<'r>, rules: ReadRules, resolver: Resolver<'c>) -> Self {
        Reader {
            json,
            rules,
            resolver,
            users: 0,
            segments: 0,
            malformed: 0,
            warnings: Vec::new(),
            dropped: Vec::new(),
            blocks: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Reads the array of users.
    fn users(&mut self) -> Read<()> {
        let limit = self.rules.limits.users_per_request;
        let mut index = 0;
        let mut more = self.json.enter(b']')?;
        while more {
            let first = self.json.peek()?;
            let start = self.json.at();
            if limit > 0 && index >= limit {
                self.json.skip(2)?;
                self.refuse("Too many user_ids in request.", Entity::SurplusUser(self.json.from(start)));
            } else if first == b'{' {
                self.user(start)?;
            } else {
                self.json.skip(2)?;
                self.refuse("'rt_segment' must be an array of objects", Entity::User(self.json.from(start)));
            }
            index += 1;
            self.rules.turns.count();
            more = self.json.next(b']')?;
        }
        Ok(())
    }

    fn refuse(&mut self, message: &'static str, entity: Entity<'r>) {
        self.malformed += 1;
        self.warnings.push(Warning { message: Message::Fixed(message), entity });
    }

    /// Reads an object that describes a user.
    fn user(&mut self, start: usize) -> Read<()> {
        self.blocks.clear();
        self.faults.clear();
        let mut user = User::default();
        let mut more = self.json.enter(b'}')?;
        while more {
            let key = self.json.key()?.decode();
            self.json.colon()?;
            match &*key {
                "user_id" => {
                    self.json.peek()?;
                    let start = self.json.at();
                    user.user_id = self.json.scalar(3)?;
                    user.raw_user_id = self.json.since(start);
                }
                "seg_block" => user.seg_block = self.seg_block()?,
                "domain" => user.domain = self.json.scalar(3)?,
                _ => self.json.skip(3)?,
            }
            more = self.json.next(b'}')?;
        }
        match user.check() {
            Ok((id, domain)) => self.take_user(start, id, domain),
            Err(message) => self.refuse(message, Entity::User(self.json.from(start))),
        }
        Ok(())
    }

    /// Reads the blocks of a user.
    fn seg_block(&mut self) -> Read<SegBlock> {
        self.blocks.clear();
        self.faults.clear();
        match self.json.peek()? {
            b'[' => {}
            b'n' => return self.json.skip(3).map(|()| SegBlock::Absent),
            _ => return self.json.skip(3).map(|()| SegBlock::Other),
        }
        let limit = self.rules.limits.segments_per_user;
        // A copy, which can be in registers.
        let mut json = self.json;
        let mut more = json.enter(b']')?;
        let mut index = 0;
        while more {
            let first = json.peek()?;
            let start = json.at();
            if limit > 0 && index >= limit {
                json.step_over(4)?;
                self.faults.push((start, None));
            } else if first == b'{' {
                match block(&mut json)?.check() {
                    Ok(request) => self.blocks.push(ReadBlock { request, start }),
                    Err(message) => self.faults.push((start, Some(message))),
                }
            } else {
                json.step_over(4)?;
                self.faults.push((start, Some("'seg_block' must be an array of objects")));
            }
            index += 1;
            more = json.next(b']')?;
        }
        self.json = json;
        Ok(if index == 0 { SegBlock::Absent } else { SegBlock::List })
    }

    /// Takes a user that is well formed but for its blocks.
    fn take_user(&mut self, start: usize, id: Text<'r>, domain: Option<Text<'r>>) {
        self.malformed += self.faults.len();
        for (start, message) in self.faults.drain(..) {
            let surplus = Message::OfUser("Too many segments for user_id: ", id);
            let message = message.map_or(surplus, Message::Fixed);
            self.warnings.push(Warning { message, entity: Entity::Block(self.json.from(start)) });
        }
        if self.blocks.is_empty() {
            let message = Message::OfUser("No valid segments for user_id: ", id);
            self.warnings.push(Warning { message, entity: Entity::User(self.json.from(start)) });
            return;
        }
        self.users += 1;
        self.segments += self.blocks.len();
        let Reader { json, rules, resolver, blocks, dropped, .. } = self;
        resolver.add_user(domain, id, blocks.iter().map(|block| block.request), |index, message| {
            if rules.verbose {
                let entity = Entity::Block(json.from(blocks[index].start));
                dropped.push(Warning { message: Message::Fixed(message), entity });
            }
        });
    }

    fn finish(mut self) -> ReadRequest<'r> {
        if self.users == 0 {
            // Each user of the request has earned one warning.
            let users = self.warnings.iter().filter_map(|warning| warning.entity.as_user()).collect();
            let message = Message::Fixed("No valid rt_segment in request.");
            self.warnings.push(Warning { message, entity: Entity::Request(users) });
        }
        self.warnings.append(&mut self.dropped);
        ReadRequest {
            users: self.users,
            segments: self.segments,
            malformed: self.malformed,
            warnings: self.warnings,
            resolved: self.resolver.finish(),
        }
    }
}

/// Reads an object that describes a block.
#[inline(always)]
fn block<'r>(json: &mut Json<'r>) -> Read<Block<'r>> {
    let mut block = Block::default();
    let mut more = json.enter(b'}')?;
    while more {
        let key = block_key(json)?;
        json.colon()?;
        let value = json.scalar(5)?;
        match key {
            BlockKey::SegId => block.seg_id = value,
            BlockKey::SegCode => block.seg_code = value,
            BlockKey::Value => block.value = value,
            BlockKey::Expiration => block.expiration = value,
            BlockKey::MemberId => block.member_id = value,
            BlockKey::Unknown => {}
        }
        more = json.next(b'}')?;
    }
    Ok(block)
}

enum BlockKey {
    SegId,
    SegCode,
    Value,
    Expiration,
    MemberId,
    Unknown,
}

#[inline(always)]
fn block_key(json: &mut Json<'_>) -> Read<BlockKey> {
    json.peek()?;
    // The first letter tells all but two apart.
    let key = match json.second() {
        Some(b's') if json.take("\"seg_id\"") => BlockKey::SegId,
        Some(b's') if json.take("\"seg_code\"") => BlockKey::SegCode,
        Some(b'v') if json.take("\"value\"") => BlockKey::Value,
        Some(b'e') if json.take("\"expiration\"") => BlockKey::Expiration,
        Some(b'm') if json.take("\"member_id\"") => BlockKey::MemberId,
        _ => {
            let (key, after) = unusual_block_key(*json)?;
            *json = after;
            key
        }
    };
    Ok(key)
}

#[cold]
#[inline(never)]
fn unusual_block_key(mut json: Json<'_>) -> Read<(BlockKey, Json<'_>)> {
    let key = match &*json.key()?.decode() {
        "seg_id" => BlockKey::SegId,
        "seg_code" => BlockKey::SegCode,
        "value" => BlockKey::Value,
        "expiration" => BlockKey::Expiration,
        "member_id" => BlockKey::MemberId,
        _ => BlockKey::Unknown,
    };
    Ok((key, json))
}

#[cfg(test)]
pub(super) mod tests;
