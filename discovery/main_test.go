package discovery

import (
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
