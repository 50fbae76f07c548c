"""What a query is made of, whatever file it came from: formulas, their normal form, boxes, witnesses."""
