//! The look of a page for everybody: widths, colours, and the rules of axe-core.

use std::path::Path;

use serde_json::json;

use super::{Tab, Window};

impl Tab<'_> {
    /// Checks the page on a desk and on a phone, light and dark: it is no wider than its window, and axe-core finds
    /// nothing serious for people who hear or type a page. Leaves the page on a light desk.
    ///
    /// # Panics
    /// If something is found, or `TEST_JAVASCRIPT` names no folder with axe-core.
    pub async fn is_for_everybody(&self) {
        let folder = std::env::var("TEST_JAVASCRIPT");
        let folder = folder.expect("TEST_JAVASCRIPT: .ci/run installs axe-core");
        let axe = Path::new(&folder).join("node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(axe).expect("axe-core");
        self.eval(&format!("{axe}; 0")).await;
        for dark in [false, true] {
            for window in [Window::DESK, Window::PHONE] {
                self.resize(Window { dark, ..window }).await;
                self.fits(window).await;
                self.breaks_no_rule(window).await;
            }
        }
        self.resize(Window::DESK).await;
    }

    async fn fits(&self, window: Window) {
        let wide = self.eval("document.documentElement.scrollWidth").await;
        assert!(
            wide.as_u64() <= Some(window.width.into()),
            "{window:?}: {wide}"
        );
    }

    async fn breaks_no_rule(&self, window: Window) {
        let rules = self.eval("axe.run().then(r => r.passes.length)").await;
        assert!(rules.as_u64() > Some(10), "axe ran: {rules}");
        let found = self
            .eval(
                "axe.run().then(r => r.violations.filter(v => ['serious', 'critical'].includes(v.impact))\
                 .map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' ')))",
            )
            .await;
        assert_eq!(found, json!([]), "{window:?}");
    }

    /// Draws the page as `NAME.png` into a folder, for the docs.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub async fn draw(&self, folder: &Path, window: Window, name: &str) {
        self.resize(window).await;
        // Drawn anew for its width.
        self.eval("new Promise(requestAnimationFrame)").await;
        let file = folder.join(name).with_extension("png");
        std::fs::write(file, self.picture().await).expect("written");
    }
}
