"""The quickstart's five tasks: what is asked, what is right, and which items no model was trained on."""
