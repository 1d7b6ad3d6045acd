package explain

// tlsPages: certificates and records.
var tlsPages = []Page{}
