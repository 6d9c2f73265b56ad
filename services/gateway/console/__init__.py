"""The console: pages for those who run stores and tokhub, behind a session that their key begins."""
