use super::*;
use crate::whose::{How, Trace};

const DOG: &str = "a dog & a <cat>, \"both\"";

fn marker() -> Marker {
    let mut marker = Marker {
        model: "tiny".into(),
        run: "run".into(),
        ..Marker::default()
    };
    let trace = Trace {
        digest: "0".into(),
        how: How::Append,
        former: Some(b"Jo's\n\"dog\"".to_vec()),
        former_source: Some("Jo&#39;s\n&quot;dog&quot;".into()),
        by_hand: false,
    };
    marker.remember(Field::Description, trace);
    marker
}

fn packet(properties: &str) -> String {
    let start = EMPTY.find("</rdf:RDF>").unwrap();
    let (head, tail) = EMPTY.split_at(start);
    format!(
        "{head} <rdf:Description rdf:about='uuid:1' xmlns:dc='{DC}' xmlns:q='urn:q#' q:a=\"x > y\">\n  \
         {properties}\n  <q:b>kept &#x41;</q:b>\n </rdf:Description>\n {tail}\n  \n\0\0"
    )
}

fn text(words: &str) -> Want {
    Want::Text(words.to_owned())
}

/// The packet with the description and a marker, and without them again.
fn there_and_back(before: Option<&str>, back: Want) -> (Vec<u8>, Option<Vec<u8>>) {
    let wanted = Wanted {
        description: text(DOG),
        alt_text: text("alt"),
        marker: Some(marker()),
    };
    let after = rewrite(before.map(str::as_bytes), &wanted)
        .unwrap()
        .unwrap();
    let said = read(&after).unwrap();
    assert_eq!(said.description.text(), Some(DOG));
    assert_eq!(said.alt_text.text(), Some("alt"));
    assert_eq!(said.marker, Some(marker()));
    assert_eq!(rewrite(Some(&after), &wanted).unwrap().unwrap(), after);
    let wanted = Wanted {
        description: back,
        alt_text: Want::Remove,
        marker: None,
    };
    let undone = rewrite(Some(&after), &wanted).unwrap();
    (after, undone)
}

#[test]
fn a_caption_comes_and_goes_and_the_rest_stays_byte_for_byte() {
    let (_, undone) = there_and_back(None, Want::Remove);
    assert_eq!(undone, None);
    let before = packet("");
    let (after, undone) = there_and_back(Some(&before), Want::Remove);
    assert_eq!(undone.unwrap(), before.as_bytes());
    let after = String::from_utf8(after).unwrap();
    assert!(after.contains("rdf:about=\"uuid:1\""), "{after}");
    assert!(after.ends_with("<?xpacket end=\"w\"?>\n  \n\0\0"));
}

#[test]
fn a_persons_text_is_changed_where_it_stands() {
    for (form, former) in [
        (
            "<dc:description><rdf:Alt><rdf:li xml:lang='en'>no</rdf:li><rdf:li xml:lang='x-default'>my &lt; dog</rdf:li></rdf:Alt></dc:description>",
            "my < dog",
        ),
        (
            "<dc:description><rdf:Alt><rdf:li xml:lang='a>b'>my dog</rdf:li></rdf:Alt></dc:description>",
            "my dog",
        ),
        ("<dc:description>my dog</dc:description>", "my dog"),
        (
            "<dc:description><rdf:Alt><rdf:li></rdf:li></rdf:Alt></dc:description>",
            "",
        ),
    ] {
        let before = packet(form);
        let said = read(before.as_bytes()).unwrap();
        assert_eq!(said.description.text(), Some(former));
        let (_, undone) = there_and_back(Some(&before), text(former));
        let undone = String::from_utf8(undone.unwrap()).unwrap();
        assert_eq!(undone, before);
    }
    let short = packet("").replace("q:a=", "dc:description = 'my dog' q:a=");
    let (_, undone) = there_and_back(Some(&short), text("my dog"));
    assert_eq!(undone.unwrap(), short.as_bytes());
    // Written in another way than decap's.
    for quote in ['"', '\''] {
        let odd = "Jo&#39;s &#x41; &gt; &quot;dog&quot;";
        let short = packet("").replace("q:a=", &format!("dc:description={quote}{odd}{quote} q:a="));
        let long = packet(&format!("<dc:description>{odd}</dc:description>"));
        for before in [short, long] {
            let said = read(before.as_bytes()).unwrap();
            let [Some(source), None] = said.sources else {
                panic!("expected a source of the description");
            };
            let former = Want::Former {
                text: "Jo's A > \"dog\"".into(),
                source,
            };
            let (_, undone) = there_and_back(Some(&before), former);
            assert_eq!(String::from_utf8(undone.unwrap()).unwrap(), before);
        }
    }
    // Forms that hold nothing.
    for form in [
        "<dc:description><rdf:Alt/></dc:description>",
        "<dc:description><rdf:Alt><rdf:li xml:lang='x-default'/></rdf:Alt></dc:description>",
        "<dc:description/>",
    ] {
        let (_, undone) = there_and_back(Some(&packet(form)), Want::Remove);
        let said = read(&undone.unwrap()).unwrap();
        assert_eq!(said.description, Words::Absent);
    }
}

#[test]
fn what_others_made_of_it_is_understood() {
    let wanted = Wanted {
        description: text(DOG),
        marker: Some(marker()),
        ..Wanted::default()
    };
    let before = packet("");
    let after = rewrite(Some(before.as_bytes()), &wanted).unwrap().unwrap();
    let after = String::from_utf8(after).unwrap();
    // Another program adds a property and a language.
    let more = after
        .replace("</rdf:li></rdf:Alt></dc:description>",
            "</rdf:li><rdf:li xml:lang='de'>ein Hund</rdf:li></rdf:Alt></dc:description><x:y>kept</x:y>");
    assert_ne!(more, after);
    let back = Wanted {
        description: Want::Remove,
        ..Wanted::default()
    };
    let undone = rewrite(Some(more.as_bytes()), &back).unwrap().unwrap();
    let said = read(&undone).unwrap();
    assert_eq!(said.description.text(), Some("ein Hund"));
    assert_eq!(said.marker, None);
    assert!(
        String::from_utf8(undone)
            .unwrap()
            .contains("<x:y>kept</x:y>")
    );
    // Another program writes it in its own way.
    let other = after.replace("xmlns:rdf=\"http", "xmlns:z=\"urn:z#\" xmlns:rdf=\"http");
    assert_ne!(other, after);
    let undone = rewrite(Some(other.as_bytes()), &back).unwrap().unwrap();
    let undone = String::from_utf8(undone).unwrap();
    assert!(
        !undone.contains("decap:") && !undone.contains("a dog"),
        "{undone}"
    );
    assert!(undone.contains("kept &#x41;"));
    let long = after.replace(" decap:run=\"run\"", "");
    let long = long.replace("><dc:desc", "><decap:run>run</decap:run><dc:desc");
    assert_eq!(read(long.as_bytes()).unwrap().marker, Some(marker()));
    let undone = rewrite(Some(long.as_bytes()), &back).unwrap().unwrap();
    assert!(!String::from_utf8(undone).unwrap().contains("decap:"));
}

#[test]
fn broken_packets_are_errors() {
    let long = format!("<a {}/>", "b='' ".repeat(30_000));
    let nested = format!("<a>{}", "<b>".repeat(600_000));
    for broken in [
        "",
        "<a/>",
        "<a",
        "<rdf:RDF/>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        &long,
        &nested,
    ] {
        let error = read(broken.as_bytes()).unwrap_err();
        assert!(matches!(
            error,
            InputFault::Damaged(_) | InputFault::Unsupported(_)
        ));
    }
    assert!(read(b"\xff\xfe<\0").is_err());
    // The same property twice, once as an attribute: nothing is lost, nothing panics.
    let twice = packet("<dc:description>a</dc:description><dc:description>b</dc:description>");
    let (_, undone) = there_and_back(Some(&twice), text("a"));
    assert_eq!(undone.unwrap(), twice.as_bytes());
}

#[test]
fn a_resource_without_an_end_tag_gets_one() {
    let before = format!("<r:RDF xmlns:r=\"{RDF}\"/>");
    let (_, undone) = there_and_back(Some(&before), Want::Remove);
    let said = read(&undone.unwrap()).unwrap();
    assert_eq!(said.description, Words::Absent);
}
