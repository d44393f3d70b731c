"""One outside system each; its errors become domain errors here."""
