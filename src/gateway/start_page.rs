//! The page that stands in for a desktop until it is ready. Pure: `static/start.html`, filled in.

use crate::desktop::Status;

const TEMPLATE: &str = include_str!("../../static/start.html");

/// What the page says before its script has asked.
#[derive(Debug, Clone, Copy)]
pub struct StartPage<'a> {
    pub id: &'a str,
    pub proxy_path: &'a str,
    /// What the type is called to people.
    pub label: &'a str,
    pub status: Status,
}

impl StartPage<'_> {
    /// As HTML. Each place is filled once: a value that looks like another place stays as it is.
    pub fn html(&self) -> String {
        let mut html = String::with_capacity(TEMPLATE.len() + 512);
        let mut rest = TEMPLATE;
        while let Some((before, after)) = rest.split_once("{{") {
            let (place, beyond) = after.split_once("}}").unwrap_or((after, ""));
            html.push_str(before);
            html.push_str(&escaped(self.value(place)));
            rest = beyond;
        }
        html.push_str(rest);
        html
    }

    fn value(&self, place: &str) -> &str {
        match place {
            "id" => self.id,
            "path" => self.proxy_path,
            "label" => self.label,
            "status" => self.status.as_str(),
            _ => "",
        }
    }
}

/// Text that is neither markup nor the end of an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_filled_and_nothing_is_markup() {
        let label = "<script>\"&'</script>{{id}}";
        let page = StartPage { id: "d1", proxy_path: "alice-code", label, status: Status::Pulling }.html();
        assert!(page.contains(r#"data-id="d1" data-path="alice-code" data-status="pulling""#));
        assert!(page.contains("<h1>&lt;script&gt;&quot;&amp;&#39;&lt;/script&gt;{{id}}</h1>"), "{page}");
        assert_eq!(page.matches("{{").count(), page.matches("{{id}}</").count() + page.matches("{{id}} –").count());
        assert!(page.trim_end().ends_with("</html>"));
    }

    #[test]
    fn the_page_keeps_to_its_policy() {
        let scripts: Vec<_> = TEMPLATE.match_indices("<script").map(|(at, _)| &TEMPLATE[at..]).collect();
        assert!(scripts.iter().all(|script| script.starts_with("<script src=\"/static/")), "no script inside the page");
        assert!(!TEMPLATE.contains("style=") && !TEMPLATE.contains("<style") && !TEMPLATE.contains(" on"));
        assert!(!TEMPLATE.contains("://"), "it names another host");
    }
}
