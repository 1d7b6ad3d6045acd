package wire

import (
	"encoding/binary"
)

// First bytes of frames that are final (RFC 6455, section 5.2).
const (
	FinText   = 0x81
	finBinary = 0x82
	FinClose  = 0x88
)

const maskBit = 0x80

// Message returns a client's binary frame with size bytes of payload, masked
// with a key of zero, and the frame that its echo must be.
func Message(size int) (sent, echoed []byte) {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i*7 + i>>8)
	}
	return frame(finBinary, payload)
}

// Farewell returns a client's Close frame with status 1000 (section 7.4.1)
// and the answer to it.
func Farewell() (sent, echoed []byte) {
	return frame(FinClose, binary.BigEndian.AppendUint16(nil, 1000))
}

func frame(first byte, payload []byte) (client, server []byte) {
	head := func(mask byte) []byte {
		switch n := len(payload); {
		case n < 126:
			return []byte{first, mask | byte(n)}
		case n <= 0xFFFF:
			return binary.BigEndian.AppendUint16([]byte{first, mask | 126}, uint16(n))
		default:
			return binary.BigEndian.AppendUint64([]byte{first, mask | 127}, uint64(n))
		}
	}
	client = append(append(head(maskBit), 0, 0, 0, 0), payload...)
	server = append(head(0), payload...)
	return client, server
}
