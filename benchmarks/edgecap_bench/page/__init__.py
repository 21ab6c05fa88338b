"""A report as one HTML file with charts: `document.as_html`."""
