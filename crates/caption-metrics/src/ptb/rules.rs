//! The lexical rules of the tokenizer, in priority order.
//!
//! A rule is a regular expression over *class bytes* (one byte for each UTF-16 unit, see
//! [`super::classes`]): ASCII stands for itself, bytes from `0x80` stand for groups of
//! characters that the rules never tell apart. The longest match wins, the earlier rule on a
//! tie, as in lex. Letters outside brackets match both cases, letters inside brackets do not.

/// What becomes of the matched text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// The text as it is.
    Keep,
    /// Soft hyphens go; nothing but soft hyphens becomes `-`.
    DropSoftHyphens,
    /// Quotes in LaTeX style, straight ones as opening quotes.
    OpenQuote,
    /// Quotes in LaTeX style, straight ones as closing quotes.
    CloseQuote,
    /// This text instead.
    Fixed(&'static str),
    /// Three or four hyphens become `--`.
    Hyphens,
    /// Vulgar fractions spelt out.
    Fraction,
    /// Currency signs as the Penn Treebank wrote them.
    Currency,
    /// `&amp;` becomes `&`.
    Ampersand,
    /// Spaces become no-break spaces, so that the token stays one.
    NoBreakSpace,
    /// Parentheses become `-LRB-` and `-RRB-`.
    Parentheses,
    /// Both of the two above.
    Phone,
    /// The text with its last character, which is read again as the next token.
    RepeatLast,
    /// As `RepeatLast`, but a one-letter acronym loses its period.
    Acronym,
    /// A line end.
    Newline,
    /// No token.
    Skip,
}

/// One rule.
pub(crate) struct Rule {
    /// What the token looks like.
    pub(crate) pattern: &'static str,
    /// What must follow it without being part of it; the longest token wins.
    pub(crate) context: Option<&'static str>,
    /// How many characters at the end are left for the next token.
    pub(crate) push_back: usize,
    /// What becomes of the text.
    pub(crate) edit: Edit,
}

const fn rule(pattern: &'static str, edit: Edit) -> Rule {
    Rule {
        pattern,
        context: None,
        push_back: 0,
        edit,
    }
}

const fn before(pattern: &'static str, context: &'static str, edit: Edit) -> Rule {
    Rule {
        pattern,
        context: Some(context),
        push_back: 0,
        edit,
    }
}

const fn split(pattern: &'static str, push_back: usize) -> Rule {
    Rule {
        pattern,
        context: None,
        push_back,
        edit: Edit::Keep,
    }
}

/// Named parts, each written in terms of those above it.
pub(crate) const PARTS: &[(&str, &str)] = &[
    ("LETTER", r"[A-Za-z\x80\x81\x99-\x9c]"),
    ("UPPER", r"[A-Z\x81\x88\x89\x9b\x9c]"),
    ("DIGIT", r"[0-9\x84]"),
    ("SPACE", r"[ \t\x8e\x87]"),
    ("NEWLINE", r"(\r|\r?\n|[\x0b\x0c\x85])"),
    ("SPACENL", r"({SPACE}|{NEWLINE})"),
    (
        "SGML",
        r"(<([!?][A-Za-z\-][^>\r\n]*|[A-Za-z][A-Za-z0-9_:.\-]*([ ]+([A-Za-z][A-Za-z0-9_:.\-]*|[A-Za-z][A-Za-z0-9_:.\-]*[ ]*=[ ]*('[^']*'|\x22[^\x22]*\x22)))*[ ]*/?|/[A-Za-z][A-Za-z0-9_:.\-]*)[ ]*>)",
    ),
    ("AMP", r"(&amp;)"),
    ("APOS", r"(['\x92]|&apos;)"),
    ("APOSLIKE", r"({APOS}|[`\x93])"),
    ("ACCENT", r"(&[aeiouAEIOU](acute|grave|uml);)"),
    (
        "WORD",
        r"({LETTER}|{ACCENT}|[\x82\x83])({LETTER}|{ACCENT}|[\x82\x83]|{DIGIT})*([.!?]({LETTER}|{ACCENT}|[\x82\x83])({LETTER}|{ACCENT}|[\x82\x83]|{DIGIT})*)*",
    ),
    ("NUM", r"({DIGIT}+|{DIGIT}*([.:,\x83\x8a]{DIGIT}+)+)"),
    ("NUMBER", r"([\-+]?{NUM})"),
    ("DATE", r"({DIGIT}{1,2}[\-/]{DIGIT}{1,2}[\-/]{DIGIT}{2,4})"),
    (
        "FRAC",
        r"(({DIGIT}{1,4}[\- \x8e])?{DIGIT}{1,4}(\\?/|\x8f){DIGIT}{1,4})",
    ),
    ("REDAUX", r"({APOS}([msdMSD]|re|ve|ll))"),
    ("SWORD", r"([A-Za-z\x83]*[A-MO-Za-mo-z]\x83*)"),
    ("SREDAUX", r"(n{APOSLIKE}t)"),
    (
        "APOWORD",
        r"({APOS}n{APOS}?|[lLdDjJ]{APOS}|dunkin{APOS}|somethin{APOS}|ol{APOS}|{APOS}em|[A-HJ-XZn]{APOSLIKE}{LETTER}{2}{LETTER}*|{APOS}[2-9]0s|{APOS}till?|{LETTER}{LETTER}*[aeiouyAEIOUY]{APOSLIKE}[aeiouA-Z]{LETTER}*|{APOS}cause|cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l|o{APOSLIKE}o)",
    ),
    (
        "FULLURL",
        r"(https?://[^ \t\n\x0c\r\x22<>|(){}]+[^ \t\n\x0c\r\x22<>|.!?(){},\-])",
    ),
    (
        "LIKELYURL",
        r"(((www\.([^ \t\n\x0c\r\x22<>|.!?(){},]+\.)+[a-zA-Z]{2,4})|(([^ \t\n\x0c\r\x22`'<>|.!?(){},-_$]+\.)+(com|net|org|edu)))(/[^ \t\n\x0c\r\x22<>|()]+[^ \t\n\x0c\r\x22<>|.!?(){},\-])?)",
    ),
    (
        "EMAIL",
        r"((&lt;|<)?[a-zA-Z0-9][^ \t\n\x0c\r\x22<>|()\x8e{}]*@([^ \t\n\x0c\r\x22<>|(){}.\x8e]+\.)*([^ \t\n\x0c\r\x22<>|(){}.\x8e]+)(&gt;|>)?)",
    ),
    (
        "TWITTER",
        r"(@[a-zA-Z_][a-zA-Z_0-9]*|#({LETTER}|{ACCENT}|[\x82\x83])+)",
    ),
    (
        "MONTHS",
        r"(jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec)",
    ),
    ("DAYS", r"(mon|tue|tues|wed|thu|thurs|fri)"),
    (
        "STATES",
        r"(ala|ariz|[A]z|[A]rk|calif|colo|conn|ct|dak|[D]el|fla|ga|[I]ll|ind|kans?|ky|[L]a|[M]ass|md|mich|minn|[M]iss|mo|mont|neb|nev|okla|[O]re|[P]a|penn|tenn|[T]ex|va|vt|[W]ash|wisc?|wyo)",
    ),
    (
        "COMPANIES",
        r"(inc|cos?|corp|pp?t[ye]s?|ltd|plc|rt|bancorp|bhd|assn|univ|intl|sys)",
    ),
    ("NUMBERED", r"(tel|est|ext|sq)"),
    ("POSTNOMINALS", r"(jr|sr|bros|(ed|ph)\.d|blvd|rd|esq)"),
    (
        "ABBREV1",
        r"(({MONTHS}|{DAYS}|{STATES}|{COMPANIES}|{NUMBERED}|{POSTNOMINALS}|etc|al|seq|bldg)\.)",
    ),
    (
        "ACRO",
        r"([A-Za-z](\.[A-Za-z])*|(canada|sino|korean|eu|japan|non)-u\.s|u\.s\.-(u\.k|u\.s\.s\.r))",
    ),
    (
        "ACRO2",
        r"([A-Za-z](\.[A-Za-z])+|(canada|sino|korean|eu|japan|non)-u\.s|u\.s\.-(u\.k|u\.s\.s\.r))",
    ),
    (
        "TITLES",
        r"(mr|mrs|ms|[M]iss|drs?|profs?|sens?|reps?|attys?|lt|col|gen|messrs|govs?|adm|rev|maj|sgt|cpl|pvt|mt|capt|ste?|ave|pres|lieut|hon|brig|co?mdr|pfc|spc|supts?|det|ft|adj|adv|asst|assoc|ens|insp|mlle|mme|msgr|sfc)",
    ),
    (
        "ABBREV4",
        r"({TITLES}|vs|alex|wm|jos|cie|a\.k\.a|cf|treas|ph|{ACRO}|invt|elec|natl|m[ft]g|dept)",
    ),
    ("ABBREV3", r"((ca|figs?|prop|nos?|art|bldg|pp|op)\.)"),
    (
        "STARTERS",
        r"([A]bout|[A]ccording|[A]dditionally|[A]fter|[A]n|[A]|[A]s|[A]t|[B]ut|[E]arlier|[H]e|[H]er|[H]ere|[H]owever|[I]f|[I]n|[I]t|[L]ast|[M]any|[M]ore|[M]r\.|[M]s\.|[N]ow|[O]nce|[O]ne|[O]ther|[O]ur|[S]he|[S]ince|[S]o|[S]ome|[S]uch|[T]hat|[T]he|[T]heir|[T]hen|[T]here|[T]hese|[T]hey|[T]his|[W]e|[W]hen|[W]hile|[W]hat|[Y]et|[Y]ou|{SGML})",
    ),
    (
        "PHONE",
        r"((\([0-9]{2,3}\)[ \x8e]?|(\+\+?)?([0-9]{2,4}[\- \x8e])?[0-9]{2,4}[\- \x8e])[0-9]{3,4}[\- \x8e]?[0-9]{3,5}|((\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5})",
    ),
    ("HYPHEN", r"[\-_\x95]"),
    (
        "THING",
        r"(([dDoOlL]{APOSLIKE}({LETTER}|{DIGIT}))?({LETTER}|{DIGIT})+({HYPHEN}([dDoOlL]{APOSLIKE}({LETTER}|{DIGIT}))?({LETTER}|{DIGIT})+)*)",
    ),
    ("THINGA", r"([A-Z]+(([+&]|{AMP})[A-Z]+)+)"),
    (
        "THING3",
        r"([A-Za-z0-9]+(-[A-Za-z]+){0,2}(\\?/[A-Za-z0-9]+(-[A-Za-z]+){0,2}){1,2})",
    ),
    (
        "HTHING",
        r"([A-Za-z0-9][A-Za-z0-9.,\x83]*(-([A-Za-z0-9\x83]+|{ACRO2}\.))+)",
    ),
    ("SMILEY", r"([<>]?[:;=][\-o*']?[()DPdpO\\{@|\[\]])"),
    (
        "ASIANSMILEY",
        r"([\^x=~<>]\.\[\^x=[^<]*<>\]|[\-\^x=~<>']_[\-\^x=~<>']|\([\-\^x=~<>'][_.]?[\-\^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\))",
    ),
    ("DBLQUOT", r"(\x22|&quot;)"),
    ("QUOTES", r"({APOS}|''|[`\x92\x93\x94]{1,2})"),
    ("PAUSE", r"[,;:\x97]"),
    (
        "FILENAME",
        r"(({LETTER}|{ACCENT}|[\x82\x83]|{DIGIT})+(\.({LETTER}|{ACCENT}|[\x82\x83]|{DIGIT})+)*\.(bat|bmp|c|class|cgi|cpp|dll|doc|docx|exe|gif|gz|h|htm|html|jar|java|jpeg|jpg|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|txt|wav|x|xml|zip))",
    ),
];

/// The rules. The comments name what a rule is for.
pub(crate) const RULES: &[Rule] = &[
    rule(r"c\+\+|(c|f)\#", Edit::Keep),
    split(r"cannot|'twas", 3),
    split(r"'tis|gonna|gotta|lemme|gimme|wanna", 2),
    rule(r"{SGML}", Edit::NoBreakSpace),
    rule(r"&(MD|mdash|ndash);|\x86", Edit::Fixed("--")),
    rule(r"{AMP}", Edit::Ampersand),
    rule(r"&(HT|TL|UR|LR|QC|QL|QR|odq|cdq|\#[0-9]+);", Edit::Keep),
    before(r"{WORD}", r"{REDAUX}", Edit::DropSoftHyphens),
    before(r"{SWORD}", r"{SREDAUX}", Edit::DropSoftHyphens),
    rule(r"{WORD}", Edit::DropSoftHyphens),
    rule(r"{APOWORD}", Edit::Keep),
    before(r"y{APOS}", r"{LETTER}", Edit::Keep),
    rule(r"{FULLURL}", Edit::Keep),
    rule(r"{LIKELYURL}", Edit::Keep),
    rule(r"{EMAIL}", Edit::Keep),
    rule(r"{TWITTER}", Edit::Keep),
    before(r"{REDAUX}", r"[^A-Za-z]", Edit::CloseQuote),
    before(r"{SREDAUX}", r"[^A-Za-z]", Edit::CloseQuote),
    rule(r"{DATE}", Edit::Keep),
    rule(r"{NUMBER}", Edit::DropSoftHyphens),
    rule(r"\x8b?([\x8c]+|\x8d+)", Edit::Keep),
    rule(r"{FRAC}", Edit::NoBreakSpace),
    rule(r"\x90", Edit::Fraction),
    rule(
        r"-(RRB|LRB|RCB|LCB|RSB|LSB)-|C\.D\.s|pro-|anti-|S(&|&amp;)P-500|S(&|&amp;)Ls|Cap{APOS}n|c{APOS}est",
        Edit::Ampersand,
    ),
    rule(r"{THING3}", Edit::Keep),
    rule(r"[A-Z]*\$|\#", Edit::Keep),
    rule(r"\x91", Edit::Currency),
    before(r"{ACRO}\.", r"{SPACENL}+{STARTERS}{SPACENL}", Edit::Acronym),
    before(r"{ABBREV3}", r"{SPACENL}?{DIGIT}", Edit::Keep),
    before(r"(pt[eyEY]|co)\.", r"{SPACE}(ltd|lim)", Edit::Keep),
    before(
        r"{ABBREV1}",
        r"{SPACENL}({SPACENL}|{UPPER}|{SGML})",
        Edit::RepeatLast,
    ),
    before(r"{ABBREV1}", r"[^][^]", Edit::Keep),
    rule(r"{ABBREV1}", Edit::RepeatLast),
    rule(r"{ABBREV4}\.", Edit::Keep),
    before(r"{ABBREV4}", r"{SPACE}", Edit::Keep),
    before(r"{ACRO}", r"{SPACENL}", Edit::Keep),
    before(r"{APOS}[0-9][0-9]", r"{SPACENL}", Edit::Keep),
    before(r"{FILENAME}", r"({SPACENL}|[.?!,])", Edit::Keep),
    before(r"{WORD}\.", r"{PAUSE}", Edit::DropSoftHyphens),
    rule(r"{PHONE}", Edit::Phone),
    before(r"{DBLQUOT}", r"[A-Za-z0-9$]", Edit::OpenQuote),
    rule(r"{DBLQUOT}", Edit::CloseQuote),
    rule(r"\x7f", Edit::Skip),
    rule(r"<|&lt;", Edit::Fixed("<")),
    rule(r">|&gt;", Edit::Fixed(">")),
    before(r"{SMILEY}", r"[^A-Za-z0-9]", Edit::Parentheses),
    rule(r"{ASIANSMILEY}", Edit::Parentheses),
    rule(r"\{", Edit::Fixed("-LCB-")),
    rule(r"\}", Edit::Fixed("-RCB-")),
    rule(r"\[", Edit::Fixed("-LSB-")),
    rule(r"\]", Edit::Fixed("-RSB-")),
    rule(r"\(", Edit::Fixed("-LRB-")),
    rule(r"\)", Edit::Fixed("-RRB-")),
    rule(r"-+", Edit::Hyphens),
    rule(r"\.{3,5}|(\.[ \x8e]){2,4}\.|[\x85\x96]", Edit::Fixed("...")),
    rule(r"@+|\#+|_+", Edit::Keep),
    rule(r"\*+|(\\\*){1,3}", Edit::Keep),
    rule(r"{PAUSE}", Edit::Keep),
    rule(r"[?!]+", Edit::Keep),
    rule(r"[.]", Edit::Keep),
    rule(r"=", Edit::Keep),
    rule(r"/", Edit::Keep),
    before(r"{HTHING}\.", r"{PAUSE}", Edit::DropSoftHyphens),
    rule(r"{HTHING}", Edit::DropSoftHyphens),
    before(r"{THING}\.", r"{PAUSE}", Edit::Keep),
    rule(r"{THING}", Edit::Keep),
    before(r"{THINGA}\.", r"{PAUSE}", Edit::Ampersand),
    rule(r"{THINGA}", Edit::Ampersand),
    before(r"'", r"[A-Za-z][^ \t\n\r\x8e]", Edit::OpenQuote),
    rule(r"{REDAUX}", Edit::CloseQuote),
    rule(r"{SREDAUX}", Edit::CloseQuote),
    rule(r"{QUOTES}", Edit::CloseQuote),
    rule(r"<<|>>", Edit::Keep),
    rule(r"[+%&~\^|\\\x98\x89\x9c\x8b\x8c\x8f]", Edit::Keep),
    rule(r"\x00|{SPACE}+", Edit::Skip),
    rule(r"{NEWLINE}", Edit::Newline),
    rule(r"&nbsp;", Edit::Skip),
];

/// The pattern with its named parts put in and its letters made caseless, in the syntax of
/// byte-oriented regular expressions.
pub(crate) fn expand(pattern: &str) -> String {
    let mut text = pattern.to_owned();
    for (name, part) in PARTS.iter().rev() {
        text = text.replace(&format!("{{{name}}}"), part);
    }
    caseless(&text)
}

fn caseless(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut in_brackets = false;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push(c);
                if let Some(escaped) = chars.next() {
                    out.push(escaped);
                    if escaped == 'x' {
                        out.extend(chars.by_ref().take(2));
                    }
                }
            }
            '[' if !in_brackets => {
                if chars.peek() == Some(&'^') && pattern_is_any(&mut chars) {
                    out.push_str(r"[\x00-\xff]");
                } else {
                    in_brackets = true;
                    out.push(c);
                }
            }
            ']' if in_brackets => {
                in_brackets = false;
                out.push(c);
            }
            letter if letter.is_ascii_alphabetic() && !in_brackets => {
                let (lower, upper) = (letter.to_ascii_lowercase(), letter.to_ascii_uppercase());
                let more = match lower {
                    'i' => r"\x9a\x9b",
                    'k' => r"\x9c",
                    's' => r"\x99",
                    _ => "",
                };
                out.push_str(&format!("[{lower}{upper}{more}]"));
            }
            other => out.push(other),
        }
    }
    out
}

/// `[^]` means any character at all.
fn pattern_is_any(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let mut ahead = chars.clone();
    ahead.next();
    if ahead.next() == Some(']') {
        chars.next();
        chars.next();
        return true;
    }
    false
}
