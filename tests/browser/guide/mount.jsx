import { createRoot } from 'react-dom/client';
import { PortfolioTracker } from 'guide';

window.mountTracker = (portfolioId) => {
  const place = document.createElement('div');
  place.id = 'tracker';
  document.body.replaceChildren(place);
  createRoot(place).render(<PortfolioTracker portfolioId={portfolioId} />);
};
