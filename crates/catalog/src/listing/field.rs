//! The static tables of fields.

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Decimal,
    /// Text.
    Text,
    /// Text without commas, so that a filter can take several.
    Word,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// True or false.
    Flag,
    /// A point in time.
    Time,
    /// Objects or lists. Nothing is filtered or sorted by them.
    Nested,
}

impl Kind {
    /// Its name in the description of a service.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Integer => "int",
            Kind::Decimal => "double",
            Kind::Text | Kind::Word => "string",
            Kind::Choice(_) => "enum",
            Kind::Flag => "boolean",
            Kind::Time => "timestamp",
            Kind::Nested => "array",
        }
    }
}

/// Whether a request can set a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// Never; it is ignored in a body, since clients send back what they read.
    Never,
    /// When the object is created; ignored afterwards.
    OnCreate,
    /// Always.
    Always,
}

/// Where the value is that a field is filtered and sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The column as it is.
    Plain(&'static str),
    /// The text of the column in lower case.
    Lower(&'static str),
    /// The time of the column, in milliseconds, as it is shown: by the second.
    Second(&'static str),
}

/// A field of a kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// `None` for a field by which nothing is filtered or sorted.
    pub column: Option<Column>,
    /// Whether `search` looks into it.
    pub searched: bool,
    /// Whether it can be set.
    pub writing: Writing,
    /// Whether a new object needs it.
    pub required: bool,
}

impl Field {
    /// A field that can be set, and by which nothing is filtered or sorted.
    pub const fn new(name: &'static str, kind: Kind) -> Field {
        Field { name, kind, column: None, searched: false, writing: Writing::Always, required: false }
    }

    /// Filtered and sorted by that column.
    pub const fn by(mut self, column: &'static str) -> Field {
        self.column = Some(Column::Plain(column));
        self
    }

    /// Filtered and sorted by the text of that column, without regard to ASCII case.
    pub const fn by_lower(mut self, column: &'static str) -> Field {
        self.column = Some(Column::Lower(column));
        self
    }

    /// Filtered and sorted by the time of that column, by the second.
    pub const fn by_second(mut self, column: &'static str) -> Field {
        self.column = Some(Column::Second(column));
        self
    }

    /// `search` looks into it.
    pub const fn searched(mut self) -> Field {
        self.searched = true;
        self
    }

    /// No request can set it.
    pub const fn read_only(mut self) -> Field {
        self.writing = Writing::Never;
        self
    }

    /// It is set when the object is created.
    pub const fn on_create(mut self) -> Field {
        self.writing = Writing::OnCreate;
        self
    }

    /// A new object needs it.
    pub const fn required(mut self) -> Field {
        self.required = true;
        self
    }
}

/// A kind of object that a service lists and changes.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// The key of one.
    pub singular: &'static str,
    /// The key of several.
    pub plural: &'static str,
    /// Two other keys that mean the same in a body, of one and of several; the answer to it uses them too.
    pub other_keys: Option<(&'static str, &'static str)>,
    /// In the order in which they are written. The first is the id.
    pub fields: &'static [Field],
}

impl Resource {
    /// The pairs of keys of one and of several.
    pub fn keys(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        std::iter::once((self.singular, self.plural)).chain(self.other_keys)
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field of that name, which is in the table.
    ///
    /// Panics when it is not: for names in the code.
    pub fn known_field(&self, name: &'static str) -> &'static Field {
        self.field(name).unwrap_or_else(|| panic!("{} has no field {name}", self.singular))
    }
}
