"""Usage into m3ter: measurements that come by the API or in files, accepted once, with a receipt."""
